"""Voucherify's published description, read from beside the checkout and never copied into it."""

from __future__ import annotations

import json
import os
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "voucherify-openapi"
METHODS = ("get", "post", "put", "delete", "patch")


class Description:
    """The operations of the description, with its schemas made lenient.

    The published schemas are stricter than the published samples. So `required` goes, `oneOf`
    becomes `anyOf`, everything may be null, and null joins every `enum`.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    @cached_property
    def _schemas(self) -> dict[str, Any]:
        return {
            name: lenient(schema)
            for name, schema in self._document["components"]["schemas"].items()
        }

    @property
    def operations(self) -> set[tuple[str, str]]:
        """Every (METHOD, path template)."""
        return {
            (method.upper(), path)
            for path, item in self._document["paths"].items()
            for method in METHODS
            if method in item
        }

    def statuses(self, method: str, template: str) -> set[int]:
        """The statuses the description gives an operation."""
        return set(map(int, self._document["paths"][template][method.lower()]["responses"]))

    def wrong(self, method: str, template: str, status: int, body: object) -> list[str]:
        """What is wrong with an answer; a status without a schema takes either error shape."""
        return [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._validator(method, template, status).iter_errors(body)
        ]

    def wrong_request(self, method: str, template: str, body: object) -> list[str]:
        """What is wrong with the JSON body of a request."""
        operation = self._document["paths"][template][method.lower()]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        return [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._compiled(json.dumps(lenient(schema))).iter_errors(body)
        ]

    @cache  # noqa: B019 - one description lives as long as the tests do
    def _validator(self, method: str, template: str, status: int) -> Any:
        responses = self._document["paths"].get(template, {}).get(method.lower(), {})
        response = responses.get("responses", {}).get(str(status), {})
        content = response.get("content", {}).get("application/json")
        schema = content["schema"] if content else either_error()
        return self._compiled(json.dumps(lenient(schema)))

    @cache  # noqa: B019 - as above
    def _compiled(self, schema: str) -> Any:
        root = {"components": {"schemas": self._schemas}, **json.loads(schema)}
        return jsonschema_rs.validator_for(root)


def either_error() -> dict[str, Any]:
    """Both error shapes, for the statuses the description leaves out."""
    names = ("Error", "BadRequest")
    return {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


_STRICT = {"required", "oneOf", "nullable", "example", "default", "discriminator"}


def lenient(schema: Any) -> Any:
    """A schema with what the samples break taken out of it."""
    if isinstance(schema, list):
        return [lenient(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        # What it points to takes null by itself.
        return {"$ref": schema["$ref"]}
    made = {
        key: _named(value) if key == "properties" else lenient(value)
        for key, value in schema.items()
        if key not in _STRICT
    }
    if "oneOf" in schema:
        made["anyOf"] = lenient(schema["oneOf"])
    return _nullable(made)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str):
        # One schema calls the status in a body text, and gives it a number as its default.
        number = ["integer"] if isinstance(schema.get("x-original-default"), int) else []
        schema["type"] = [schema["type"], "null", *number]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    if "anyOf" in schema:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema


def _named(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: lenient(schema) for name, schema in properties.items()}


@cache
def description() -> Description:
    """The description; without it a test is skipped here and fails in CI."""
    path = FOLDER / "openapi.json"
    if not path.exists():
        sentence = f"Voucherify's published description is not at {path}"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return Description(json.loads(path.read_text()))
