{{ config(severity='warn') }}
-- Campaigns are loaded on demand: where none is, there is nothing to compare with.
select rewards.reward_event_id
from {{ ref('referral_rewards') }} as rewards
left join {{ ref('stg_campaigns') }} as campaigns on rewards.campaign_id = campaigns.campaign_id
where
    rewards.campaign_id is not null
    and campaigns.campaign_id is null
    and exists (select 1 from {{ ref('stg_campaigns') }})
