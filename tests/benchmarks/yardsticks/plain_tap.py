"""A minimal tap on the Meltano SDK: a schema, a path, a paginator."""

import json
import sys
from pathlib import Path

from singer_sdk import Tap
from singer_sdk.pagination import PageNumberPaginator
from singer_sdk.streams import RESTStream

SCHEMA = json.loads(Path(sys.argv.pop()).read_text())
URL = sys.argv.pop()


class Customers(RESTStream):
    name = "customers"
    path = "/v1/customers"
    url_base = URL
    primary_keys = ("id",)
    schema = SCHEMA
    records_jsonpath = "$.customers[*]"
    http_headers = {"X-App-Id": "id", "X-App-Token": "token"}

    def get_new_paginator(self):
        return PageNumberPaginator(start_value=1)

    def get_url_params(self, context, next_page_token):
        return {"limit": 100, "order": "created_at", "page": next_page_token}

    def post_process(self, row, context=None):
        row["modified_at"] = row.get("updated_at") or row["created_at"]
        return row


class PlainTap(Tap):
    name = "tap-plain"
    config_jsonschema = {"properties": {}}

    def discover_streams(self):
        return [Customers(self)]


PlainTap.cli()
