-- Names, addresses, e-mail and phone stay in the raw table: who needs them joins there.
select
    id as customer_id,
    source_id,
    cast(created_at as timestamp) as created_at,
    cast(modified_at as timestamp) as modified_at,
    cast((summary -> 'orders' ->> 'total_count') as bigint) as orders,
    cast((summary -> 'orders' ->> 'total_amount') as bigint) as orders_total_amount,
    cast((loyalty ->> 'points') as bigint) as loyalty_points,
    cast((referrals ->> 'total') as bigint) as referrals
from {{ source('voucherify', 'customers') }}
