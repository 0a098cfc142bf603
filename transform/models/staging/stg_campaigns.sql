select
    id as campaign_id,
    name as campaign_name,
    campaign_type,
    active,
    cast(start_date as timestamp) as starts_at,
    cast(expiration_date as timestamp) as expires_at,
    cast(created_at as timestamp) as created_at,
    cast(vouchers_count as bigint) as vouchers
from {{ loaded('campaigns', {
    'id': 'text', 'name': 'text', 'campaign_type': 'text', 'active': 'boolean',
    'start_date': 'timestamp', 'expiration_date': 'timestamp', 'created_at': 'timestamp',
    'vouchers_count': 'bigint'
}) }}
