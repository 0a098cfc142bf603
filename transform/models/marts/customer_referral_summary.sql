with received as (
    select
        customer_id,
        sum(case when recipient_role = 'referee' then 1 else 0 end) as rewards_as_referee,
        sum(case when recipient_role = 'referrer' then 1 else 0 end) as rewards_as_referrer,
        sum(coalesce(amount, 0)) as credit_received,
        sum(coalesce(points, 0)) as points_received,
        max(customer_source_id) as customer_source_id,
        min(rewarded_at) as first_reward_at,
        max(rewarded_at) as last_reward_at
    from {{ ref('referral_rewards') }}
    group by customer_id
),

brought as (
    select
        referrer_id as customer_id,
        count(*) as friends_referred,
        sum(coalesce(order_total_amount, 0)) as order_total_amount_brought
    from {{ ref('referral_conversions') }}
    where referrer_id is not null and not rolled_back
    group by referrer_id
),

came as (
    select
        referee_id as customer_id,
        min(converted_at) as referred_at
    from {{ ref('referral_conversions') }}
    where referee_id is not null
    group by referee_id
),

known as (
    select customer_id from received
    union
    select customer_id from brought
    union
    select customer_id from came
)

select
    known.customer_id,
    coalesce(customers.source_id, received.customer_source_id) as customer_source_id,
    came.referred_at,
    cast(coalesce(brought.friends_referred, 0) as bigint) as friends_referred,
    cast(coalesce(brought.order_total_amount_brought, 0) as bigint) as order_total_amount_brought,
    cast(coalesce(received.rewards_as_referee, 0) as bigint) as rewards_as_referee,
    cast(coalesce(received.rewards_as_referrer, 0) as bigint) as rewards_as_referrer,
    cast(coalesce(received.credit_received, 0) as bigint) as credit_received,
    cast(coalesce(received.points_received, 0) as bigint) as points_received,
    received.first_reward_at,
    received.last_reward_at
from known
left join received on known.customer_id = received.customer_id
left join brought on known.customer_id = brought.customer_id
left join came on known.customer_id = came.customer_id
left join {{ ref('stg_customers') }} as customers on known.customer_id = customers.customer_id
