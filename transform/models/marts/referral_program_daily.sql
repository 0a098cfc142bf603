with happened as (
    select
        cast(rewarded_at as date) as day,
        campaign_id,
        campaign_name,
        case when recipient_role = 'referee' then 1 else 0 end as referee_rewards,
        case when recipient_role = 'referrer' then 1 else 0 end as referrer_rewards,
        1 as rewards,
        coalesce(amount, 0) as credit_given,
        coalesce(points, 0) as points_given,
        0 as conversions,
        0 as conversions_rolled_back,
        0 as order_total_amount
    from {{ ref('referral_rewards') }}
    union all
    select
        cast(converted_at as date),
        campaign_id,
        campaign_name,
        0,
        0,
        0,
        0,
        0,
        1,
        case when rolled_back then 1 else 0 end,
        case when rolled_back then 0 else coalesce(order_total_amount, 0) end
    from {{ ref('referral_conversions') }}
)

select
    day,
    campaign_id,
    max(campaign_name) as campaign_name,
    cast(sum(conversions) as bigint) as conversions,
    cast(sum(conversions_rolled_back) as bigint) as conversions_rolled_back,
    cast(sum(order_total_amount) as bigint) as order_total_amount,
    cast(sum(rewards) as bigint) as rewards,
    cast(sum(referee_rewards) as bigint) as referee_rewards,
    cast(sum(referrer_rewards) as bigint) as referrer_rewards,
    cast(sum(credit_given) as bigint) as credit_given,
    cast(sum(points_given) as bigint) as points_given
from happened
group by day, campaign_id
