with refused as (
    select
        entity,
        source_id,
        min(settled_at) as first_refused_at,
        max(settled_at) as last_refused_at,
        max(reason) as reason,
        cast(count(*) as bigint) as times
    from {{ ref('stg_results') }}
    where outcome = 'refused' and source_id is not null
    group by entity, source_id
),

accepted as (
    select
        entity,
        source_id,
        max(settled_at) as last_accepted_at
    from {{ ref('stg_results') }}
    where outcome in ('accepted', 'unchanged')
    group by entity, source_id
)

select
    refused.entity,
    refused.source_id,
    refused.reason,
    refused.times,
    refused.first_refused_at,
    refused.last_refused_at,
    accepted.last_accepted_at,
    coalesce(accepted.last_accepted_at > refused.last_refused_at, false) as accepted_since
from refused
left join accepted
    on refused.entity = accepted.entity and refused.source_id = accepted.source_id
