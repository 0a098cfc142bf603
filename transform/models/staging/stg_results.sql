select
    run_id,
    cast(number as bigint) as number,
    entity,
    source_id,
    outcome,
    reason,
    job_id,
    request_id,
    cast(at as timestamp) as settled_at
from {{ loaded('voucherify_results', {
    'run_id': 'text', 'number': 'bigint', 'entity': 'text', 'source_id': 'text', 'outcome': 'text',
    'reason': 'text', 'job_id': 'text', 'request_id': 'text', 'at': 'timestamp'
}) }}
