with outcomes as (
    select
        entity,
        source_id,
        reason,
        settled_at,
        outcome = 'refused' as is_refused,
        row_number() over (
            partition by entity, source_id, outcome = 'refused' order by settled_at desc, number desc
        ) as newest
    from {{ ref('stg_results') }}
    where outcome in ('refused', 'accepted', 'unchanged') and source_id is not null
),

by_key as (
    select
        entity,
        source_id,
        max(case when is_refused and newest = 1 then reason end) as reason,
        cast(sum(case when is_refused then 1 else 0 end) as bigint) as times,
        min(case when is_refused then settled_at end) as first_refused_at,
        max(case when is_refused then settled_at end) as last_refused_at,
        max(case when not is_refused then settled_at end) as last_accepted_at
    from outcomes
    group by entity, source_id
)

select
    *,
    coalesce(last_accepted_at > last_refused_at, false) as accepted_since
from by_key
where times > 0
