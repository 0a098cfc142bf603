"""dlt's declarative REST source, extract step only: no normalising, no loading."""

import sys
import tempfile

import dlt
from dlt.sources.rest_api import rest_api_source

source = rest_api_source(
    {
        "client": {
            "base_url": sys.argv[1],
            "headers": {"X-App-Id": "id", "X-App-Token": "token"},
            "paginator": {"type": "page_number", "base_page": 1, "total_path": None},
        },
        "resources": [
            {
                "name": "customers",
                "primary_key": "id",
                "endpoint": {
                    "path": "v1/customers",
                    "params": {"limit": 100, "order": "created_at"},
                    "data_selector": "customers",
                },
            }
        ],
    }
)
with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline("bench", destination="dummy", pipelines_dir=folder)
    pipeline.extract(source)
