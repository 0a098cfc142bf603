select
    id as redemption_id,
    object as kind,
    cast(date as timestamp) as redeemed_at,
    customer_id,
    redemption as rolled_back_redemption_id,
    cast(amount as bigint) as amount,
    result,
    status,
    "order" ->> 'id' as order_id,
    voucher ->> 'id' as voucher_id,
    voucher ->> 'campaign_id' as campaign_id,
    voucher ->> 'referrer_id' as referrer_id
from {{ loaded('redemptions', {
    'id': 'text', 'object': 'text', 'date': 'timestamp', 'customer_id': 'text',
    'redemption': 'text', 'amount': 'bigint', 'result': 'text', 'status': 'text',
    'order': 'json', 'voucher': 'json'
}) }}
