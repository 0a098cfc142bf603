"""Drives Voucherify's own Python SDK over a sandbox and prints what its models cannot parse.

Run by the Python of an environment that holds the SDK: address, application ID and secret key are
the arguments, the keys of things to read are JSON on standard input.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import voucherify

if TYPE_CHECKING:
    from collections.abc import Callable

URL, APPLICATION_ID, SECRET_KEY = sys.argv[1:]
KNOWN = json.load(sys.stdin)
CLIENT = voucherify.ApiClient(
    voucherify.Configuration(
        host=URL, api_key={"X-App-Id": APPLICATION_ID, "X-App-Token": SECRET_KEY}
    )
)
PROBLEMS: list[str] = []
PARSED: list[str] = []


def ask(label: str, call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """The parsed answer of one operation; a failure is noted and gives `None`."""
    try:
        parsed = call(*arguments, **more)
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is a finding
        status = getattr(error, "status", None)
        text = f"answered {status}" if status else str(error).replace("\n", " ")
        PROBLEMS.append(f"{label}: {type(error).__name__}: {text}")
        return None
    PARSED.append(label)
    return parsed


def read(label: str, call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """As `ask`, where the answer must not be empty."""
    parsed = ask(label, call, *arguments, **more)
    if parsed is not None and not parsed.to_dict():
        PROBLEMS.append(f"{label}: nothing was parsed")
    return parsed


def rows(label: str, name: str, call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """As `ask` for a list that must hold rows."""
    parsed = ask(label, call, *arguments, **more)
    if parsed is not None and not getattr(parsed, name):
        PROBLEMS.append(f"{label}: no rows were parsed")
    return parsed


def job(label: str, accepted: Any) -> Any:
    """The end of a job."""
    api = voucherify.AsyncActionsApi(CLIENT)
    for _ in range(20):
        found = read("get_async_action", api.get_async_action, accepted.async_action_id)
        if found is None or found.status in {"DONE", "FAILED"}:
            return found
        time.sleep(0.1)
    PROBLEMS.append(f"{label}: it did not end")
    return None


def customers() -> None:
    """Customers, one by one and many at once."""
    api = voucherify.CustomersApi(CLIENT)
    body = voucherify.CustomersCreateRequestBody(
        source_id="sdk-1",
        name="Sdk One",
        email="sdk.one@example.invalid",
        address={"city": "Test City", "country": "US"},
        metadata={"tier": "gold"},
    )
    made = read("create_customer", api.create_customer, customers_create_request_body=body)
    change = voucherify.CustomersUpdateRequestBody(name="Sdk First", metadata={"tier": "silver"})
    read("update_customer", api.update_customer, made.id, customers_update_request_body=change)
    read("get_customer", api.get_customer, "sdk-1")
    rows("list_customers", "customers", api.list_customers, limit=100, order="-created_at")
    for key in ("sdk-1", KNOWN["customer"]):
        rows("list_customer_activity", "data", api.list_customer_activity, key)
    rows("list_customer_segments", "data", api.list_customer_segments, KNOWN["customer"])
    rows("list_customer_redeemables", "data", api.list_customer_redeemables, KNOWN["customer"])
    item = voucherify.CustomersUpdateInBulkRequestBody(source_id="sdk-2", name="Sdk Two")
    bulk = read("update_customers_in_bulk", api.update_customers_in_bulk, [item])
    job("update_customers_in_bulk", bulk)
    named = voucherify.CustomersMetadataUpdateInBulkRequestBody(
        source_ids=["sdk-1"], metadata={"tier": "gold"}
    )
    many = read("update_customers_metadata_in_bulk", api.update_customers_metadata_in_bulk, named)
    job("update_customers_metadata_in_bulk", many)
    text = b"Name,Email,Source_id,tier\nSdk Three,sdk.three@example.invalid,sdk-3,gold\n"
    imported = ask("import_customers_using_csv", api.import_customers_using_csv, text)
    if imported is not None:
        job("import_customers_using_csv", imported)
        row = read("get_customer", api.get_customer, "sdk-3")
        if row is not None and (row.name, row.metadata) != ("Sdk Three", {"tier": "gold"}):
            PROBLEMS.append("import_customers_using_csv: the row came out differently")
    actions = voucherify.AsyncActionsApi(CLIENT)
    rows("list_async_actions", "async_actions", actions.list_async_actions)
    read("customer_permanently_deletion", api.customer_permanently_deletion, "sdk-2")
    ask("delete_customer", api.delete_customer, "sdk-1")


def exports() -> None:
    """An export from its order to its deletion."""
    api = voucherify.ExportsApi(CLIENT)
    body = voucherify.ExportsCreateRequestBody.from_dict(
        {"exported_object": "customer", "parameters": {"fields": ["id", "source_id"]}}
    )
    made = read("create_export", api.create_export, exports_create_request_body=body)
    for _ in range(20):
        found = read("get_export", api.get_export, made.id)
        if found is None or found.status == "DONE":
            break
        time.sleep(0.1)
    rows("list_exports", "exports", api.list_exports)
    ask("delete_export", api.delete_export, made.id)


def programs() -> None:
    """Campaigns, vouchers, rewards, redemptions and what belongs to them."""
    campaigns, vouchers = voucherify.CampaignsApi(CLIENT), voucherify.VouchersApi(CLIENT)
    rows("list_campaigns", "campaigns", campaigns.list_campaigns, limit=100)
    for campaign in KNOWN["campaigns"]:
        read("get_campaign", campaigns.get_campaign, campaign)
        ask("list_campaign_transactions", campaigns.list_campaign_transactions, campaign)
    rows("list_vouchers", "vouchers", vouchers.list_vouchers, limit=100)
    for code in KNOWN["vouchers"]:
        read("get_voucher", vouchers.get_voucher, code)
        ask("list_voucher_transactions", vouchers.list_voucher_transactions, code)
    rewards = voucherify.RewardsApi(CLIENT)
    listed = rows("list_rewards", "data", rewards.list_rewards)
    for reward in listed.data if listed else ():
        read("get_reward", rewards.get_reward, reward.id)
        found = rows("list_reward_assignments", "data", rewards.list_reward_assignments, reward.id)
        for one in found.data if found else ():
            read("get_reward_assignment", rewards.get_reward_assignment, reward.id, one.id)
    redemptions = voucherify.RedemptionsApi(CLIENT)
    rows("list_redemptions", "redemptions", redemptions.list_redemptions, limit=100)
    for redemption in KNOWN["redemptions"]:
        read("get_redemption", redemptions.get_redemption, redemption)
    referrals = voucherify.ReferralsApi(CLIENT)
    rows("referrals_code_holders1", "data", referrals.referrals_code_holders1, KNOWN["code"])
    rows(
        "referrals_code_holders",
        "data",
        referrals.referrals_code_holders,
        KNOWN["campaign"],
        KNOWN["code"],
    )


def publications() -> None:
    """Publications, listed and made."""
    api = voucherify.PublicationsApi(CLIENT)
    rows("list_publications", "publications", api.list_publications, limit=100)
    body = voucherify.PublicationsCreateRequestBody.from_dict(
        {
            "source_id": "sdk-publication",
            "customer": {"source_id": "sdk-4"},
            "campaign": {"name": KNOWN["campaign"], "count": 1},
        }
    )
    read("create_publication", api.create_publication, publications_create_request_body=body)


def others() -> None:
    """Orders, segments, metadata schemas and custom events."""
    orders = voucherify.OrdersApi(CLIENT)
    body = voucherify.OrdersCreateRequestBody.from_dict(
        {
            "source_id": "sdk-o1",
            "status": "PAID",
            "amount": 1000,
            "customer": {"source_id": "sdk-5"},
        }
    )
    read("create_order", orders.create_order, orders_create_request_body=body)
    read("get_order", orders.get_order, "sdk-o1")
    rows("list_orders", "orders", orders.list_orders, limit=100)
    read("get_segment", voucherify.SegmentsApi(CLIENT).get_segment, KNOWN["segment"])
    schemas = voucherify.MetadataSchemasApi(CLIENT)
    rows("list_metadata_schemas", "schemas", schemas.list_metadata_schemas)
    read("get_metadata_schema", schemas.get_metadata_schema, "customer")
    event = voucherify.EventsCreateRequestBody.from_dict(
        {"event": "sdk_event", "customer": {"source_id": "sdk-5"}}
    )
    read("track_custom_event", voucherify.EventsApi(CLIENT).track_custom_event, event)


for part in (customers, exports, programs, publications, others):
    part()
json.dump({"problems": PROBLEMS, "parsed": sorted(set(PARSED))}, sys.stdout)
