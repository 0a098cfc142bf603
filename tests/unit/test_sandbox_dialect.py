"""Dialects change the form of responses and nothing that they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pytest

from voucherify_sandbox import Dialect, Sandbox
from voucherify_sandbox.dialect import BROKEN_LINE, UNKNOWN
from wire import Reply, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMS: Mapping[str, Any] = get_type_hints(Dialect)


def reply_in(dialect: Dialect) -> Reply:
    with Sandbox(dialect=dialect) as sandbox:
        sandbox.project.add_customers(3)
        wire = Wire(sandbox)
        replies = [wire("GET", "/v1/customers") for _ in range(2)]
        wire.close()
    assert replies[0].status == 200
    return replies[1]


def without_unknown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_unknown(v) for name, v in value.items() if name not in UNKNOWN}
    return [without_unknown(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("spaces", get_args(FORMS["spaces"]))
@pytest.mark.parametrize("headers", get_args(FORMS["headers"]))
@pytest.mark.parametrize("unknown_members", [False, True])
def test_a_response_says_the_same_in_every_dialect(
    spaces: Any, headers: Any, unknown_members: Any
) -> None:
    plain = reply_in(Dialect()).body

    reply = reply_in(Dialect(spaces=spaces, headers=headers, unknown_members=unknown_members))

    body = reply.body
    assert shape(without_unknown(body)) == shape(plain)
    assert (body["customers"][0]["summary"].items() >= UNKNOWN.items()) is unknown_members
    assert (b"\n" in reply.content) is (spaces == "lines")
    assert (b'": ' in reply.content) is (spaces != "none")


def shape(body: Any) -> Any:
    """A response without the ids and times of its project."""
    return [{**row, "id": "", "created_at": ""} for row in body["customers"]], body["total"]


def test_the_headers_of_each_dialect() -> None:
    found = {name: reply_in(Dialect(headers=name)).headers for name in get_args(FORMS["headers"])}

    assert [len(found[name].get_all("Date", [])) for name in ("plain", "doubled", "missing")] == [
        1,
        2,
        0,
    ]
    assert found["broken"].defects
    assert "X-Rate-Limit-Remaining" not in found["missing"]
    assert BROKEN_LINE not in found["slow"].as_string()
