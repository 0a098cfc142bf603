"""Voucherify's own Python SDK: reads page by page and prints customers as JSON."""

import sys
from datetime import UTC, datetime

from voucherify import ApiClient, Configuration, CustomersApi

configuration = Configuration(host=sys.argv[1], api_key={"X-App-Id": "id", "X-App-Token": "token"})
api = CustomersApi(ApiClient(configuration))
cursor = datetime(1970, 1, 1, tzinfo=UTC)
while True:
    rows = api.list_customers(limit=100, order="created_at", starting_after=cursor).customers
    if not rows:
        break
    for row in rows:
        print(row.model_dump_json())
    cursor = rows[-1].created_at
