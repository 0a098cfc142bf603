-- Rows only where the sums of a campaign differ between the daily mart and its rewards.
with daily as (
    select campaign_id, sum(rewards) as rewards, sum(credit_given) as credit, sum(points_given) as points
    from {{ ref('referral_program_daily') }}
    group by campaign_id
),

given as (
    select
        campaign_id,
        count(*) as rewards,
        sum(coalesce(amount, 0)) as credit,
        sum(coalesce(points, 0)) as points
    from {{ ref('referral_rewards') }}
    group by campaign_id
)

select given.*
from given
left join daily on given.campaign_id = daily.campaign_id
where
    daily.rewards is distinct from given.rewards
    or daily.credit is distinct from given.credit
    or daily.points is distinct from given.points
