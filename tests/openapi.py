"""Validates against Voucherify's published description, which is read from beside the checkout."""

from __future__ import annotations

import json
import os
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "voucherify-openapi"
PARTS = tuple(FOLDER / name for name in ("openapi.json", "openapi-more.json"))
"""The files that hold the description, each some of its operations."""

METHODS = ("get", "post", "put", "delete", "patch")


class Description:
    """The operations of the description, with lenient schemas.

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

    def lenient_document(self) -> dict[str, Any]:
        """The whole description with the lenient schemas, for judges that read a document."""
        made: dict[str, Any] = _lenient_parts(self._document)
        made["components"]["schemas"] = self._schemas
        # What may be null stands in a list of types, which is of this version.
        return {**made, "openapi": "3.1.0"}

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
        """The described statuses of an operation."""
        return set(map(int, self._document["paths"][template][method.lower()]["responses"]))

    def wrong(self, method: str, template: str, status: int, body: object) -> list[str]:
        """Problems of a response; a status without a schema allows either error shape."""
        return [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._validator(method, template, status).iter_errors(body)
        ]

    def wrong_request(self, method: str, template: str, body: object) -> list[str]:
        """Problems of the JSON body of a request."""
        schema = self._operation(method, template)["requestBody"]["content"]["application/json"][
            "schema"
        ]
        return [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._compiled(json.dumps(lenient(schema))).iter_errors(body)
        ]

    def template(self, method: str, path: str) -> str | None:
        """The path template of an operation; the most literal one that matches."""
        segments = path.split("/")
        fitting = [
            template
            for operation, template in self.operations
            if operation == method and _fits(template.split("/"), segments)
        ]
        return min(fitting, key=lambda template: template.count("{"), default=None)

    def wrong_query(self, method: str, template: str, query: str) -> list[str]:
        """Problems of a query: unknown names and invalid values.

        Filters are objects spelled out in brackets, such as `filters[x][conditions][$after][0]`;
        the examples of the description write a single value with its `[0]`, its schemas without.
        """
        known = {
            parameter["name"]: parameter["schema"]
            for parameter in self._parameters(method, template)
            if parameter["in"] == "query"
        }
        given: dict[str, Any] = {}
        for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
            if name in known:
                given[name] = value
            else:
                _put(given, name.replace("]", "").split("["), value)
        unknown = [f"{name}: is not described" for name in given.keys() - known.keys()]
        return unknown + [
            problem
            for name, value in given.items()
            if name in known
            for problem in self._problems(known[name], value)
        ]

    def wrong_form(self, method: str, template: str, form: str) -> list[str]:
        """Problems of the fields of a form."""
        kind = "application/x-www-form-urlencoded"
        schema = self._operation(method, template)["requestBody"]["content"][kind]["schema"]
        fields = dict(parse_qsl(form, keep_blank_values=True, strict_parsing=True))
        return self._problems(schema, fields)

    def takes(self, method: str, template: str) -> set[str]:
        """The content types of an operation's body."""
        return set(self._operation(method, template).get("requestBody", {}).get("content", {}))

    def _operation(self, method: str, template: str) -> dict[str, Any]:
        found: dict[str, Any] = self._document["paths"][template][method.lower()]
        return found

    def _parameters(self, method: str, template: str) -> list[dict[str, Any]]:
        item = self._document["paths"][template]
        named = self._document["components"]["parameters"]
        return [
            named[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
            for parameter in (
                *item.get("parameters", []),
                *self._operation(method, template).get("parameters", []),
            )
        ]

    def _problems(self, schema: dict[str, Any], value: object) -> list[str]:
        """Problems of a value that came as text, in its most lenient interpretation."""
        schema = lenient(self._closed(schema))
        found = [
            [
                f"{'/'.join(map(str, error.instance_path))}: {error.message}"
                for error in self._compiled(json.dumps(schema)).iter_errors(reading)
            ]
            for reading in (value, _as_numbers(value), _without_lists(value))
        ]
        return min(found, key=len)

    def _closed(self, schema: Any) -> Any:
        """A schema without references and without additional properties."""
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self._closed(self._document["components"]["schemas"][name])
        made = {key: self._closed(value) for key, value in schema.items()}
        if "properties" in made:
            made["additionalProperties"] = False
        return made

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
        return jsonschema_rs.validator_for(root, validate_formats=True)


def _fits(template: list[str], segments: list[str]) -> bool:
    """Whether a path matches a template."""
    return len(template) == len(segments) and all(
        part == segment or (part.startswith("{") and segment != "")
        for part, segment in zip(template, segments, strict=True)
    )


def _put(into: dict[str, Any], names: list[str], value: str) -> None:
    """Set a value in nested objects; members 0, 1 and so on make a list."""
    first, *rest = names
    if not rest:
        into[first] = value
    elif rest[0].isdecimal():
        into.setdefault(first, []).append(value)
    else:
        _put(into.setdefault(first, {}), rest, value)


def either_error() -> dict[str, Any]:
    """Both error shapes, for statuses that are not described."""
    names = ("Error", "BadRequest")
    return {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


_STRICT = {"required", "oneOf", "nullable", "example", "default", "discriminator"}


def lenient(schema: Any) -> Any:
    """A schema without the rules that published samples violate."""
    if isinstance(schema, list):
        return [lenient(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        # The referenced schema allows null itself.
        return {"$ref": schema["$ref"]}
    made = {
        key: _named(value) if key == "properties" else lenient(value)
        for key, value in schema.items()
        if key not in _STRICT
    }
    if "oneOf" in schema:
        made["anyOf"] = lenient(schema["oneOf"])
    return _nullable(made)


def _lenient_parts(node: Any) -> Any:
    """A part of the document with lenient schemas in it."""
    if isinstance(node, list):
        return [_lenient_parts(part) for part in node]
    if not isinstance(node, dict):
        return node
    return {
        key: lenient(value) if key == "schema" else _lenient_parts(value)
        for key, value in node.items()
    }


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str):
        # One schema declares the status in a body as text with a number as default.
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
    missing = [path for path in PARTS if not path.exists()]
    if missing:
        sentence = f"Voucherify's published description is not at {missing[0]}"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return Description(_joined([json.loads(path.read_text()) for path in PARTS]))


def _joined(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """One document of several, which describe other operations of the same paths and schemas."""
    first, *others = documents
    for other in others:
        for path, item in other["paths"].items():
            first["paths"].setdefault(path, {}).update(item)
        for kind, named in other["components"].items():
            first["components"][kind] = named | first["components"].get(kind, {})
    return first


def _as_numbers(value: object) -> object:
    """Digits as a number."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _without_lists(value: object) -> object:
    """A value with lists of one replaced by their element."""
    if isinstance(value, dict):
        return {name: _without_lists(member) for name, member in value.items()}
    return value[0] if isinstance(value, list) and len(value) == 1 else value
