select
    cast(settled_at as date) as day,
    entity,
    outcome,
    coalesce(reason, '') as reason,
    cast(count(*) as bigint) as records,
    cast(count(distinct run_id) as bigint) as runs
from {{ ref('stg_results') }}
group by 1, 2, 3, 4
