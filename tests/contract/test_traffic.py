"""Requests and responses of real runs of both plugins match the published description."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api_runs import RUNS, connection_of, project_of
from openapi import METHODS, Description, description
from recorder import Exchange, Recorder

ROOT = Path(__file__).parents[2]
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
KEYS = {"x-app-id", "x-app-token"}

MUST_USE: dict[str, set[str]] = {
    "tap, every stream, and again": {
        "GET /v1/customers",
        "GET /v1/customers/{customerId}/activity",
        "GET /v1/redemptions",
        "GET /v1/publications",
        "GET /v1/campaigns",
        "GET /v1/campaigns/{campaignId}/transactions",
        "GET /v1/vouchers",
        "GET /v1/rewards",
        "GET /v1/rewards/{rewardId}/assignments",
        "GET /v1/orders",
        "GET /v1/loyalties/{campaignId}/pending-points",
        "GET /v1/loyalties/{campaignId}/tiers",
        "GET /v1/products",
        "GET /v1/products/{productId}/skus",
        "GET /v1/promotions/stacks",
        "GET /v1/promotions/tiers",
        "GET /v1/validation-rules",
        "GET /v1/validation-rules-assignments",
        "GET /v1/segments",
        "GET /v1/referrals/members/{memberId}/holders",
        "GET /v1/metadata-schemas",
    },
    "tap, with tokens": {"POST /v1/oauth/token"},
    "tap, an export": {"POST /v1/exports", "GET /v1/exports/{exportId}"},
    "target, bulk": {
        "POST /v1/customers/bulk/async",
        "GET /v1/async-actions/{asyncActionId}",
        "GET /v1/metadata-schemas/{resource}",
    },
    "target, single": {"GET /v1/async-actions", "POST /v1/customers"},
    "target, with tokens": {"POST /v1/oauth/token"},
    "target, products and orders": {"POST /v1/products/bulk/async", "POST /v1/orders"},
    "target, products singly": {"POST /v1/products", "GET /v1/async-actions"},
    "target, orders by import": {
        "POST /v1/orders/import",
        "GET /v1/orders",
        "POST /v1/exports",
        "GET /v1/async-actions",
    },
    "target, deletes": {"DELETE /v1/customers/{customerId}"},
    "target, permanent deletes": {"POST /v1/customers/{customerId}/permanent-deletion"},
    "target, a dry run": {"GET /v1/customers/{customerId}"},
}
"""Operations that must occur in the runs."""


@pytest.mark.parametrize("name", RUNS)
def test_requests_and_answers_are_as_published(name: str, tmp_path: Path) -> None:
    published = description()
    with project_of(name) as sandbox, Recorder(sandbox.url) as recorder:
        RUNS[name](connection_of(sandbox, recorder.url), tmp_path)

    assert [wrong for one in recorder.exchanges for wrong in problems(published, one)] == []
    used = {" ".join(operation(published, one)) for one in recorder.exchanges}
    assert used
    assert MUST_USE.get(name, set()) - used == set()


def operation(published: Description, exchange: Exchange) -> tuple[str, str]:
    path = exchange.target.partition("?")[0]
    return exchange.method, published.template(exchange.method, path) or path


def problems(published: Description, exchange: Exchange) -> list[str]:
    """Problems of one exchange, each with its operation."""
    method, template = operation(published, exchange)
    if (method, template) not in published.operations:
        return [f"{method} {template} is not published"]
    found = [
        *wrong_headers(exchange, published.takes(method, template)),
        *wrong_body(published, exchange),
        *wrong_answer(published, exchange),
    ]
    return [f"{method} {template}: {problem}" for problem in found]


def wrong_headers(exchange: Exchange, taken: set[str]) -> list[str]:
    """Key pair or token, never both, and JSON or form bodies, as published."""
    sent, kind = exchange.headers, exchange.headers.get("content-type", "")
    by_keys = sent.keys() & KEYS
    by_token = sent.get("authorization", "").startswith("Bearer ")
    found = [] if by_token != (by_keys == KEYS) and len(by_keys) != 1 else ["keys or a token"]
    if exchange.body and kind not in taken:
        found.append(f"a body of {kind}")
    if not exchange.body and taken:
        found.append("no body")
    return found


def wrong_body(published: Description, exchange: Exchange) -> list[str]:
    """Problems of the query and the body of a request."""
    method, template = operation(published, exchange)
    query = exchange.target.partition("?")[2]
    # The download URL of an export is used as Voucherify returns it.
    found = [] if exchange.kind != JSON else published.wrong_query(method, template, query)
    kind = exchange.headers.get("content-type")
    if not exchange.body or kind not in published.takes(method, template):
        return found
    if kind == FORM:
        return [*found, *published.wrong_form(method, template, exchange.body.decode())]
    return [*found, *published.wrong_request(method, template, json.loads(exchange.body))]


def wrong_answer(published: Description, exchange: Exchange) -> list[str]:
    """Problems of the body of a response; files and empty bodies are not validated."""
    if exchange.answered is None:
        return []
    return published.wrong(*operation(published, exchange), exchange.status, exchange.answered)


def test_every_path_in_the_code_is_one_that_a_run_must_use() -> None:
    sources = [
        path.read_text()
        for folder in ("tap-voucherify/tap_voucherify", "target-voucherify/target_voucherify")
        for path in (ROOT / folder).rglob("*.py")
    ]
    named = {path for source in sources for path in re.findall(r'"(/v1/[^" ]*)"', source)}
    published = description()
    operations = {
        path: {f"{method.upper()} {published.template(method.upper(), path)}" for method in METHODS}
        for path in named
    }
    used = set().union(*MUST_USE.values())

    assert len(named) > 15
    assert [path for path, possible in operations.items() if not possible & used] == []


WRONG: dict[str, dict[str, Any]] = {
    "an operation nobody published": {"target": "/v1/customer"},
    "a parameter nobody described": {"target": "/v1/customers?sort=name"},
    "a limit that is none": {"target": "/v1/customers?limit=many"},
    "a limit too high": {"target": "/v1/customers?limit=101"},
    "a page too high": {"target": "/v1/customers?page=100"},
    "an order nobody knows": {"target": "/v1/customers?order=surname"},
    "a time that is none": {"target": "/v1/customers?created_at[after]=yesterday"},
    "a filter nobody knows": {"target": "/v1/segments?filters[made_at][conditions][$after][0]=x"},
    "an operator nobody knows": {
        "target": "/v1/campaigns?filters[created_date][conditions][$since][0]=2026-01-01T00:00:00Z"
    },
    "no keys": {"headers": {}},
    "half of the keys": {"headers": {"x-app-id": "a"}},
    "a body of no kind": {"method": "POST", "target": "/v1/customers", "body": b"{}"},
    "a body that does not fit": {
        "method": "POST",
        "target": "/v1/customers",
        "headers": {"x-app-id": "a", "x-app-token": "b", "content-type": JSON},
        "body": b'{"source_id": 1}',
    },
    "no body where one belongs": {"method": "POST", "target": "/v1/exports"},
    "a form that does not fit": {
        "method": "POST",
        "target": "/v1/oauth/token",
        "headers": {"x-app-id": "a", "x-app-token": "b", "content-type": FORM},
        "body": b"grant=client_credentials",
    },
    "an answer that does not fit": {"answer": b'{"object": "list", "customers": 7}'},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_exchange_would_be_noticed(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "method": "GET",
        "target": "/v1/customers?limit=100&order=created_at",
        "headers": {"x-app-id": "a", "x-app-token": "b"},
        "body": b"",
        "status": 200,
        "kind": JSON,
        "answer": b"{}",
    }
    assert problems(description(), Exchange(**good)) == []
    assert problems(description(), Exchange(**{**good, **wrong})) != []
    assert good["method"].lower() in METHODS
