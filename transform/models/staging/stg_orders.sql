select
    id as order_id,
    source_id as order_source_id,
    status,
    customer_id,
    referrer_id,
    cast(created_at as timestamp) as created_at,
    cast(modified_at as timestamp) as modified_at,
    cast(amount as bigint) as amount,
    cast(total_discount_amount as bigint) as discount_amount,
    cast(total_amount as bigint) as total_amount
from {{ loaded('orders', {
    'id': 'text', 'source_id': 'text', 'status': 'text', 'customer_id': 'text',
    'referrer_id': 'text', 'created_at': 'timestamp', 'modified_at': 'timestamp',
    'amount': 'bigint', 'total_discount_amount': 'bigint', 'total_amount': 'bigint'
}) }}
