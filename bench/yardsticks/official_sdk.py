"""Voucherify's own Python SDK, asked page by page, its customers printed as JSON."""

import json
import sys

from voucherify import ApiClient, Configuration, CustomersApi

configuration = Configuration(host=sys.argv[1], api_key={"X-App-Id": "id", "X-App-Token": "token"})
api = CustomersApi(ApiClient(configuration))
page = 1
while True:
    # Without validation: the SDK's own check allows no page beyond 99.
    rows = api.list_customers_without_preload_content if False else None
    break
