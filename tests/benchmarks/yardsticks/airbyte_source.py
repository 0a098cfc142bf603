"""The same list as an Airbyte low-code source."""

import json
import sys
import tempfile
from pathlib import Path

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)

STREAM = {
    "type": "DeclarativeStream",
    "name": "customers",
    "primary_key": ["id"],
    "schema_loader": {
        "type": "InlineSchemaLoader",
        "schema": json.loads(Path(sys.argv[2]).read_text()),
    },
    "retriever": {
        "type": "SimpleRetriever",
        "requester": {
            "type": "HttpRequester",
            "url_base": sys.argv[1],
            "path": "/v1/customers",
            "http_method": "GET",
            "request_headers": {"X-App-Id": "id", "X-App-Token": "token"},
            "request_parameters": {"order": "created_at"},
        },
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["customers"]},
        },
        "paginator": {
            "type": "DefaultPaginator",
            "page_size_option": {
                "type": "RequestOption",
                "inject_into": "request_parameter",
                "field_name": "limit",
            },
            "page_token_option": {
                "type": "RequestOption",
                "inject_into": "request_parameter",
                "field_name": "page",
            },
            "pagination_strategy": {
                "type": "PageIncrement",
                "page_size": 100,
                "start_from_page": 1,
                "inject_on_first_request": True,
            },
        },
    },
}
MANIFEST = {
    "version": "6.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": ["customers"]},
    "streams": [STREAM],
    "spec": {
        "type": "Spec",
        "connection_specification": {"type": "object", "properties": {}},
    },
}
CATALOG = {
    "streams": [
        {
            "stream": {
                "name": "customers",
                "json_schema": STREAM["schema_loader"]["schema"],
                "supported_sync_modes": ["full_refresh"],
            },
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
    ]
}
with tempfile.TemporaryDirectory() as folder:
    config, catalog = Path(folder, "config.json"), Path(folder, "catalog.json")
    config.write_text("{}")
    catalog.write_text(json.dumps(CATALOG))
    source = ConcurrentDeclarativeSource(catalog=None, config={}, state=[], source_config=MANIFEST)
    launch(source, ["read", "--config", str(config), "--catalog", str(catalog)])
