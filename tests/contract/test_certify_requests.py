"""What `certify` sends is what Voucherify describes, except where it asks about limits."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from certification import certify
from openapi import description
from voucherify_sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from openapi import Description

ON_PURPOSE = {
    'GET /v1/customers: : "100" is not of types "null", "integer"',
    'GET /v1/customers: : "101" is not of types "null", "integer"',
    'POST /v1/customers/bulk/async: 3/birthdate: "31.02.2020" is not a "date"',
    'POST /v1/customers/bulk/async: 4/source_id: ["cert-odd"] is not of types "null", "string"',
}


def problems(published: Description, call: dict[str, Any]) -> list[str]:
    path, _, query = str(call["path"]).partition("?")
    method = call["method"]
    template = published.template(method, path)
    if template is None:
        return [f"{method} {path}"]
    given = query or urlencode(call["query"])
    found = published.wrong_query(method, template, given)
    if published.takes(method, template):
        found += published.wrong_request(method, template, call["body"])
    return [f"{method} {template}: {problem}" for problem in found]


def test_its_requests_are_described(tmp_path: Path) -> None:
    published = description()
    with Sandbox() as sandbox:
        notes = certify(sandbox, tmp_path).probe.notes
        calls = notes.calls.values()
        downloads = [call for call in calls if "://" in call["path"]]
        found = {
            problem.replace(notes.prefix, "cert")
            for call in calls
            if call not in downloads
            for problem in problems(published, call)
        }
    assert len(downloads) == 1
    assert found == ON_PURPOSE
