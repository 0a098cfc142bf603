with outcomes as (
    select
        entity,
        source_id,
        reason,
        settled_at,
        outcome,
        row_number() over (
            partition by entity, source_id, outcome = 'refused' order by settled_at desc, number desc
        ) as newest
    from {{ ref('stg_results') }}
    where outcome in ('refused', 'accepted', 'unchanged', 'not_there') and source_id is not null
),

by_key as (
    select
        entity,
        source_id,
        max(case when outcome = 'refused' and newest = 1 then reason end) as reason,
        cast(sum(case when outcome = 'refused' then 1 else 0 end) as bigint) as times,
        min(case when outcome = 'refused' then settled_at end) as first_refused_at,
        max(case when outcome = 'refused' then settled_at end) as last_refused_at,
        max(case when outcome in ('refused', 'not_there') then settled_at end) as last_lacking_at,
        max(case when outcome in ('accepted', 'unchanged') then settled_at end) as last_accepted_at
    from outcomes
    group by entity, source_id
)

select
    entity,
    source_id,
    reason,
    times,
    first_refused_at,
    last_refused_at,
    last_accepted_at,
    coalesce(last_accepted_at > last_lacking_at, false) as accepted_since
from by_key
where times > 0
