-- Several events tell of one reward; `customer.rewarded` is the one that each reward has.
select
    events.reward_event_id,
    events.occurred_at as rewarded_at,
    events.customer_id,
    coalesce(events.customer_source_id, customers.source_id) as customer_source_id,
    events.recipient_role,
    case
        when events.points is not null then 'points'
        when events.amount is not null then 'credit'
        else 'other'
    end as reward_kind,
    events.amount,
    events.points,
    events.reward_id,
    events.reward_name,
    events.campaign_id,
    coalesce(campaigns.campaign_name, events.campaign_name) as campaign_name,
    events.referrer_id,
    events.redemption_id,
    events.order_id,
    coalesce(events.order_source_id, orders.order_source_id) as order_source_id,
    orders.status as order_status,
    coalesce(orders.total_amount, events.order_total_amount) as order_total_amount,
    coalesce(conversions.rolled_back, false) as conversion_rolled_back
from {{ ref('stg_reward_events') }} as events
left join {{ ref('stg_customers') }} as customers on events.customer_id = customers.customer_id
left join {{ ref('stg_campaigns') }} as campaigns on events.campaign_id = campaigns.campaign_id
left join {{ ref('stg_orders') }} as orders on events.order_id = orders.order_id
left join {{ ref('referral_conversions') }} as conversions
    on events.redemption_id = conversions.conversion_id
where
    events.event_type = 'customer.rewarded'
    and (events.campaign_type = 'REFERRAL_PROGRAM' or events.recipient_role is not null)
