"""What a loader makes of each property: `python column_types.py snowflake < output-of-the-tap`.

Runs in the environment of the loader and knows nothing of this project. Prints JSON: for each
stream its columns by name, with their SQL types, and for BigQuery the statement of its view.
"""

from __future__ import annotations

import json
import sys
from typing import Any

Schema = dict[str, Any]


def snowflake(_stream: str, schema: Schema) -> dict[str, Any]:
    from target_snowflake.connector import SnowflakeConnector  # noqa: PLC0415 - by choice

    given = {"user": "u", "password": "p", "account": "a", "database": "d"}
    connector = SnowflakeConnector(given)
    types = {name: str(connector.to_sql_type(one)) for name, one in schema["properties"].items()}
    return {"types": types}


def bigquery(stream: str, schema: Schema) -> dict[str, Any]:
    from target_bigquery.core import (  # noqa: PLC0415 - as above
        BigQueryTable,
        IngestionStrategy,
        SchemaTranslator,
    )

    table = BigQueryTable(
        name=stream,
        dataset="d",
        project="p",
        jsonschema=schema,
        ingestion_strategy=IngestionStrategy.FIXED,
        transforms={},
    )
    translator = SchemaTranslator(schema, {})
    types = {
        field.name: "JSON" if field.mode == "REPEATED" else field.field_type.upper()
        for field in translator.translated_schema
    }
    loaded = [[field.name, field.field_type] for field in table.get_resolved_schema()]
    return {"types": types, "view": translator.generate_view_statement(table), "loaded": loaded}


LOADERS = {"snowflake": snowflake, "bigquery": bigquery}

if __name__ == "__main__":
    messages = map(json.loads, sys.stdin)
    schemas = {one["stream"]: one["schema"] for one in messages if one["type"] == "SCHEMA"}
    of_loader = LOADERS[sys.argv[1]]
    json.dump({name: of_loader(name, schema) for name, schema in schemas.items()}, sys.stdout)
