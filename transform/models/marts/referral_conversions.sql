-- A conversion by redemption is told by two events of one redemption, one by a custom event by
-- `customer.referred` alone.
with told as (
    select
        coalesce(redemption_id, reward_event_id) as conversion_id,
        reward_event_id,
        occurred_at,
        customer_id,
        referrer_id,
        campaign_id,
        campaign_name,
        redemption_id,
        order_id,
        order_source_id,
        order_total_amount
    from {{ ref('stg_reward_events') }}
    where
        event_type in ('customer.referred', 'customer.redemption.succeeded')
        and campaign_type = 'REFERRAL_PROGRAM'
),

rolled_back as (
    select redemption_id from {{ ref('stg_reward_events') }}
    where event_type = 'customer.redemption.rollback.succeeded'
    union
    select rolled_back_redemption_id from {{ ref('stg_redemptions') }}
    where kind = 'redemption_rollback' and result = 'SUCCESS'
),

conversions as (
    select
        conversion_id,
        min(occurred_at) as converted_at,
        max(customer_id) as referee_id,
        max(referrer_id) as referrer_id,
        max(campaign_id) as campaign_id,
        max(campaign_name) as campaign_name,
        max(redemption_id) as redemption_id,
        max(order_id) as order_id,
        max(order_source_id) as order_source_id,
        max(order_total_amount) as order_total_amount
    from told
    group by conversion_id
)

select
    conversions.*,
    conversions.redemption_id in (
        select redemption_id from rolled_back where redemption_id is not null
    ) is true as rolled_back
from conversions
