{{ config(severity='warn') }}
-- Orders are loaded on demand: where none is, there is nothing to compare with.
select rewards.reward_event_id
from {{ ref('referral_rewards') }} as rewards
left join {{ ref('stg_orders') }} as orders on rewards.order_id = orders.order_id
where
    rewards.order_id is not null
    and orders.order_id is null
    and exists (select 1 from {{ ref('stg_orders') }})
