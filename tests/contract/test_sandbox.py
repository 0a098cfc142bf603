"""All responses of the sandbox are valid by Voucherify's published description."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from openapi import Description, description
from voucherify_sandbox import Fault, Limits, Sandbox
from voucherify_sandbox.readings import answers, names
from voucherify_sandbox.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOT_IMPLEMENTED = {
    "GET /v1/customers/{customerId}/activities": "deprecated; activity has taken its place",
    "GET /v1/loyalties": "loyalty campaigns and their cards are also campaigns and vouchers",
    "POST /v1/loyalties": "the plugins add no points and let none expire",
    "POST /v1/orders/": "the plugins write no orders",
    "PUT /v1/orders/": "the plugins write no orders",
    "POST /v1/products": "the plugins write no products",
    "PUT /v1/products/": "the plugins write no products",
    "POST /v1/segments": "the plugins make no segments",
    "POST /v1/vouchers/": "the plugins change no codes",
    "GET /v2/loyalties/": "the tap does not read Loyalty v2",
    "POST /v2/loyalties/": "the plugins add no members",
}
"""What the described operations begin with that the sandbox does not serve, and why not."""
NOT_PUBLISHED = {
    ("GET", "/v1/async-actions/{asyncActionId}/report"): "only its address is published",
    ("GET", "/v1/products/{productId}"): "not in the part of the description that is read here",
    ("POST", "/v1/campaigns"): "the same",
    ("DELETE", "/v1/campaigns/{campaignId}"): "the same",
    ("POST", "/v1/rewards"): "the same",
    ("DELETE", "/v1/rewards/{rewardId}"): "the same",
    ("POST", "/v1/rewards/{rewardId}/assignments"): "the same",
    ("POST", "/v1/redemptions"): "the same",
}
GIFTS, POINTS, COUPONS, EVENTS = "Gifts", "Points", "Coupons", "Events"


class Client:
    """Sends requests to the sandbox and validates every response."""

    def __init__(self, sandbox: Sandbox, published: Description) -> None:
        self.sandbox = sandbox
        self.published = published
        self.seen: set[tuple[str, str, int]] = set()
        self._connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=30)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        form: bool = False,
        **headers: str,
    ) -> Any:
        """The body of a response, after validation."""
        sent = {"X-App-Id": self.sandbox.application_id, "X-App-Token": self.sandbox.secret_key}
        if body is not None:
            kind = "application/x-www-form-urlencoded" if form else "application/json"
            sent["Content-Type"] = kind
        content = body
        if body is not None and not isinstance(body, bytes):
            content = urlencode(body) if form else json.dumps(body)
        sent.update({name.replace("_", "-").title(): value for name, value in headers.items()})
        self._connection.request(method, path, content, sent)
        answer = self._connection.getresponse()
        text = answer.read()
        served = self.sandbox.requests[-1]
        self.seen.add((method, served.template, answer.status))
        if not text or answer.headers.get_content_type() != "application/json":
            return text
        parsed = json.loads(text)
        assert self.published.wrong(method, served.template, answer.status, parsed) == [], parsed
        return parsed

    def upload(self, path: str, text: str) -> Any:
        """The body of the response to a file."""
        start = '--x\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n'
        kind = "multipart/form-data; boundary=x"
        return self("POST", path, f"{start}{text}\r\n--x--\r\n".encode(), content_type=kind)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def published() -> Description:
    return description()


@pytest.fixture
def call(sandbox: Sandbox, published: Description) -> Iterator[Client]:
    client = Client(sandbox, published)
    yield client
    client.close()


def fill(call: Client) -> dict[str, str]:
    """Fill a project with every kind of object; returns their ids."""
    project = call.sandbox.project
    project.define_metadata("customer", {"tier": {"type": "string", "eq": ["gold", "silver"]}})
    kinds = (
        (GIFTS, "gift_credit", None),
        (POINTS, "loyalty_points", None),
        (COUPONS, "discount", None),
        (EVENTS, "gift_credit", "signed_up"),
    )
    ids = {}
    for name, kind, event in kinds:
        project.create_referral_campaign(
            name,
            referee_reward={kind: 10},
            referrer_reward={kind: 20},
            custom_event=event,
        )
        code = project.referral_code(name, {"source_id": "adam", "name": "Adam", "phone": "+48 1"})
        if event:
            project.track_event(event, "eve", {"code": code})
        else:
            redemption = project.redeem(code, "rita", {"source_id": name, "amount": 12_000})
            ids["redemption"], ids["order"] = redemption["id"], redemption["order"]["id"]
            call("POST", "/v1/customers", {"source_id": "rita"})
        ids["code"] = code
    project.roll_back(ids["redemption"])
    for name, kind, points in (("Cards", "GIFT_VOUCHERS", None), ("Club", "LOYALTY_PROGRAM", 20)):
        project.create_campaign(name, kind, cents_per_point=points and 100)
        card = project.publish(name, "rita", 500)
        project.roll_back(project.redeem(card, "rita", {"amount": 4_000}, points=points))
    full = {
        "source_id": "zoë/1",
        "email": "zoe@example.com",
        "birthdate": "2001-02-28",
        "address": {"city": "Łódź", "line_1": None},
        "metadata": {"tier": "gold", "nested": {"a": [1, None]}},
    }
    project.upsert_customer(full)
    ids["product"] = project.create_product({"source_id": "mug"}, [{"sku": "Mug"}])["id"]
    project.create_promotion("Sale", [10, 20], least_amount=5_000)
    ids["program"] = project.add_loyalty_tier(f"{POINTS} points", "Gold", (100, 999))["campaign_id"]
    project.add_pending_points(ids["program"], "rita", 7)
    ids["segment"] = project.create_segment("Everyone", ["adam", "rita"])["id"]
    ids["campaign"] = project.programs.campaign(f"{GIFTS} credit")["id"]
    ids["referral_campaign"] = project.programs.campaign(EVENTS)["id"]
    ids["assignment"], one = next(iter(project.programs.assignments.items()))
    ids["reward"] = one["reward_id"]
    ids["card"] = next(iter(project.programs.transactions.values()))["voucher_id"]
    return ids


def read_everything(call: Client, ids: dict[str, str]) -> None:
    """Request every list and one object of each kind."""
    for path in (
        "customers?limit=100",
        "customers?order=created_at&starting_after=1970-01-01T00:00:00Z",
        "redemptions",
        "publications",
        "campaigns",
        "rewards",
        "orders?order=-created_at",
        "segments",
        "vouchers",
        "metadata-schemas",
        "exports",
        "async-actions",
        f"redemptions/{ids['redemption']}",
        f"orders/{ids['order']}",
        f"segments/{ids['segment']}",
        f"campaigns/{ids['campaign']}",
        f"campaigns/{ids['campaign']}/transactions?limit=1",
        f"campaigns/{ids['referral_campaign']}/transactions",
        f"rewards/{ids['reward']}",
        f"rewards/{ids['reward']}/assignments",
        f"rewards/{ids['reward']}/assignments/{ids['assignment']}",
        f"vouchers/{ids['code']}",
        f"vouchers/{ids['card']}/transactions",
        f"referrals/members/{ids['code']}/holders",
        f"referrals/{ids['referral_campaign']}/members/{ids['code']}/holders",
        "metadata-schemas/customer",
        f"loyalties/{ids['program']}/tiers?order=-created_at",
        f"loyalties/{ids['program']}/pending-points?order=id",
        "promotions/tiers?order=-updated_at",
        "promotions/stacks?order=-updated_at",
        "validation-rules?order=-updated_at",
        "validation-rules-assignments?order=-created_at",
        "products?order=-updated_at",
        f"products/{ids['product']}/skus?order=-created_at",
    ):
        call("GET", f"/v1/{path}")
    for key in ("adam", "rita", "eve", quote("zoë/1", safe="")):
        call("GET", f"/v1/customers/{key}")
        for child in ("activity?limit=100", "activity?limit=1", "segments", "redeemables"):
            call("GET", f"/v1/customers/{key}/{child}")


def write_everything(call: Client) -> None:
    """Make every write that succeeds."""
    call("POST", "/v1/customers", {"source_id": "new", "metadata": {"tier": "silver"}})
    call("PUT", "/v1/customers/new", {"name": "New"})
    for path, body in (
        ("bulk", [{"source_id": "bulk"}, {"source_id": "bad", "birthdate": "soon"}, {}]),
        ("metadata", {"source_ids": ["bulk"], "metadata": {"tier": "wood"}}),
    ):
        # Some readings refuse the request as a whole.
        finish(call, call("POST", f"/v1/customers/{path}/async", body))
    finish(
        call,
        call.upload("/v1/customers/importCSV", "Name,Source_id,tier\nNew,new,gold\nNo,,gold\n"),
    )
    call("DELETE", "/v1/customers/new")
    call("POST", "/v1/customers/bulk/permanent-deletion")
    rita = {"source_id": "rita"}
    call("POST", "/v1/events", {"event": "seen", "customer": rita})
    call("POST", "/v1/orders", {"customer": rita, "amount": 100, "source_id": "written"})
    call("POST", "/v1/orders", {"source_id": "written", "status": "PAID", "items": []})
    call("POST", "/v1/products", {"source_id": "shoe", "name": "Shoe", "price": 4_990})
    for path, row in (
        ("products/bulk/async", {"source_id": "shoe", "name": "Boot"}),
        ("orders/import", {"source_id": "old", "customer": rita}),
    ):
        finish(call, call("POST", f"/v1/{path}", [row, {}]))
    call("POST", "/v1/publications", {"customer": rita, "campaign": {"name": GIFTS}})
    form = {"grant_type": "client_credentials", "scope": "api"}
    token = call("POST", "/v1/oauth/token", form, form=True)["access_token"]
    for _ in range(2):
        call("POST", "/v1/oauth/introspect", {"access_token": token}, form=True)
        call("POST", "/v1/oauth/token/revoke", {"access_token": token}, form=True)


def finish(call: Client, queued: dict[str, Any]) -> None:
    """Poll a job until it has ended."""
    for _ in range(3):
        call("GET", f"/v1/async-actions/{queued.get('async_action_id')}")


def export(call: Client, exported_object: str = "customer", **parameters: object) -> bytes:
    """Create an export, wait for it, and download its file."""
    body = {"exported_object": exported_object, "parameters": parameters}
    made = call("POST", "/v1/exports", body)
    for _ in range(2):
        made = call("GET", f"/v1/exports/{made['id']}")
    url = urlsplit(made["result"]["url"])
    content = call("GET", f"{url.path}?{url.query}")
    call("DELETE", f"/v1/exports/{made['id']}")
    assert isinstance(content, bytes)
    return content


def refuse_everything(call: Client) -> None:
    """Provoke every error, described or not."""
    for path in (
        "customers/nobody",
        "customers/nobody/activity",
        "customers/nobody/redeemables",
        "async-actions/none",
        "exports/none",
        "campaigns/none",
        "rewards/none",
        "rewards/none/assignments",
        "rewards/none/assignments/none",
        "orders/none",
        "segments/none",
        "vouchers/none",
        "vouchers/none/transactions",
        "referrals/members/none/holders",
        "referrals/none/members/none/holders",
        "metadata-schemas/none",
        "products/none/skus",
        "loyalties/none/tiers",
        "loyalties/none/pending-points",
        "redemptions/none",
        "async-actions?end_date=soon",
        "publications?page=101",
        "customers?limit=101",
        "customers?page=100",
        "no-such-path",
    ):
        call("GET", f"/v1/{path}")
    call("PUT", "/v1/customers/nobody", {"name": "x"})
    call("PATCH", "/v1/customers", {})
    call("DELETE", "/v1/customers/nobody")
    call("POST", "/v1/customers/nobody/permanent-deletion")
    call("DELETE", "/v1/exports/none")
    call("POST", "/v1/exports", {"exported_object": "customer", "parameters": {"fields": ["x"]}})
    call("POST", "/v1/exports", {"exported_object": "nothing"})
    call("POST", "/v1/events", {"event": "seen"})
    call("POST", "/v1/publications", {"customer": {"source_id": "rita"}})
    call("POST", "/v1/publications", {"customer": {"source_id": "rita"}, "voucher": "none"})
    call("POST", "/v1/customers", {"source_id": 1})
    call("POST", "/v1/customers", {"source_id": "x"}, content_type="text/plain")
    call("POST", "/v1/oauth/token", {"grant_type": "password"}, form=True)
    call("POST", "/v1/oauth/introspect", {}, form=True, content_type="")
    call("POST", "/v1/oauth/introspect", {"x": "y"}, form=True)
    call("GET", "/v1/customers", X_App_Token="wrong")
    for path in ("bulk", "metadata"):
        call("POST", f"/v1/customers/{path}/async", ["x" * 10_485_760])
    call("POST", "/v1/products/bulk/async", ["x" * 10_485_760])
    call("POST", "/v1/orders/import", [{}] * 2_001)
    call.sandbox.limits.bulk_calls = 0
    call("POST", "/v1/customers/bulk/async", [])
    call.sandbox.limits.bulk_calls = 1000


def test_a_wrong_answer_would_be_noticed(published: Description) -> None:
    listed = {"object": "list", "data_ref": "customers", "customers": [{"source_id": 1}]}
    assert published.wrong("GET", "/v1/customers", 200, listed) != []
    assert published.wrong("GET", "/v1/customers/{customerId}", 404, {"code": "x"}) != []


def test_every_operation_of_the_description_is_served_or_listed_with_a_reason(
    published: Description,
) -> None:
    served = {(route.method, route.template) for route in ROUTES}
    missing = [" ".join(operation) for operation in published.operations - served]
    assert [name for name in missing if not name.startswith(tuple(NOT_IMPLEMENTED))] == []
    assert [one for one in NOT_IMPLEMENTED if not any(x.startswith(one) for x in missing)] == []
    assert served - published.operations == set(NOT_PUBLISHED)


def test_every_status_the_description_names_is_seen_and_every_answer_is_valid(
    call: Client, published: Description
) -> None:
    ids = fill(call)
    write_everything(call)
    for exported_object in ("customer", "redemption", "publication", "order", "voucher"):
        export(call, exported_object)
    read_everything(call, ids)
    refuse_everything(call)
    served = {(route.method, route.template) for route in ROUTES}
    wanted = {
        (method, template, status)
        for method, template in published.operations & served
        for status in published.statuses(method, template)
    }
    # Voucherify refuses a campaign outside the areas of a key; the sandbox has one key, no areas.
    wanted.remove(("GET", "/v1/campaigns/{campaignId}", 403))
    assert wanted - call.seen == set()


def plain_answers(name: str) -> list[str]:
    """The values of a reading; for numbers one that has an effect."""
    return ["1"] if answers(name) == ("a number",) else list(answers(name))


# An unknown type cannot be in the description's list of types.
OUTSIDE = {"unknown_event_types"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name} is {value}")
        for name in names()
        for value in plain_answers(name)
        if name not in OUTSIDE
    ],
)
def test_answers_are_valid_under_every_reading(
    published: Description, name: str, value: str
) -> None:
    with Sandbox() as sandbox:
        call = Client(sandbox, published)
        ids = fill(call)
        sandbox.readings.change(**{name: value})
        sandbox.project.settle()
        write_everything(call)
        read_everything(call, ids)
        call.close()


LIMITED = [
    "limit_retry_after",
    "limit_rate_limit_retry",
    "limit_silent",
    "limit_cycle",
    "server_error",
    "unavailable_seconds",
    "unavailable_date",
    "expired_token",
    "revoked_key",
]


@pytest.mark.parametrize("kind", LIMITED)
def test_faults_that_answer_as_voucherify_would_are_valid_too(call: Client, kind: str) -> None:
    call.sandbox.faults.add(Fault(kind=kind))  # type: ignore[arg-type] # one of the kinds by name
    call("POST", "/v1/customers/bulk/async", [])


JOBS: list[Callable[[], Fault]] = [
    lambda: Fault(kind="job_fails"),
    lambda: Fault(kind="job_stops"),
    lambda: Fault(kind="job_miscounts"),
    lambda: Fault(kind="job_denies"),
    lambda: Fault(kind="job_refuses"),
]


@pytest.mark.parametrize("fault", JOBS, ids=lambda fault: fault().kind)
def test_jobs_in_trouble_still_look_like_jobs(call: Client, fault: Callable[[], Fault]) -> None:
    call.sandbox.faults.add(fault())
    rows = [{"source_id": str(number)} for number in range(20)]
    job = call("POST", "/v1/customers/bulk/async", rows)["async_action_id"]
    for _ in range(3):
        call("GET", f"/v1/async-actions/{job}")


def test_the_call_limit_is_refused_in_a_valid_way(published: Description) -> None:
    with Sandbox(limits=Limits(calls=0)) as sandbox:
        call = Client(sandbox, published)
        assert call("GET", "/v1/customers")["code"] == 429
        call.close()
