select day, campaign_id
from {{ ref('referral_program_daily') }}
group by day, campaign_id
having count(*) > 1
