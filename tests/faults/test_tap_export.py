"""The first run through an export: the same records, few calls, picked up where it was."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from singer import Run, run, selecting
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.exported_customers import FIELDS, ExportedCustomers
from tap_voucherify.voucherify_client.urls import may_hold_downloads
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)
NOT_EXPORTED = {"referrals", "system_metadata", "assets"}


@pytest.fixture
def catalog(tmp_path: Path) -> list[str]:
    return selecting(tmp_path, "customers")


@pytest.fixture
def filled(sandbox: Sandbox) -> Sandbox:
    """Customers of every kind, some with rewards, orders and odd metadata."""
    project = sandbox.project
    sandbox.clock.set(LONG_AGO)
    project.define_metadata(
        "customer",
        {
            "tier": {"type": "string"},
            "visits": {"type": "number"},
            "vip": {"type": "boolean"},
            "tags": {"type": "string", "array": True},
        },
    )
    project.add_customers(250, prefix="a-", spread=timedelta(days=1))
    for number in range(20):
        project.upsert_customer(
            {
                "source_id": f"odd-{number}",
                "name": 'Zoë "Zed"\nof, the Søuth',
                "phone": "" if number % 2 else "0049-30",
                "address": {"city": "東京", "line_1": 'Str. 1;"2"'},
                "metadata": {"tier": "12", "visits": number, "vip": True, "tags": ["a,b", 'c"d']},
            }
        )
    project.create_referral_campaign("Refer", referee_reward={"loyalty_points": 5})
    code = project.referral_code(campaign="Refer", referrer="odd-1")
    project.redeem(code=code, customer="odd-2", order={"source_id": "shop-1", "amount": 500})
    project.settle()
    sandbox.clock.set(None)
    return sandbox


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """What an export can give of a record; a missing member and a null one are alike."""
    kept = {name: value for name, value in record.items() if name not in NOT_EXPORTED}
    kept["loyalty"] = {n: v for n, v in kept["loyalty"].items() if n != "campaigns"}
    redemptions = kept["summary"]["redemptions"]
    kept["summary"] = {
        **kept["summary"],
        "redemptions": {n: v for n, v in redemptions.items() if isinstance(v, int)},
    }
    return without_nulls(kept)


def without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value or None if value == "" else value
    members = {name: without_nulls(member) for name, member in value.items()}
    return {name: member for name, member in members.items() if member not in (None, {})}


def exported(connection: dict[str, Any], *more: str, **settings: Any) -> Run:
    return run("tap_voucherify", {**connection, "customers_backfill": "export", **settings}, *more)


def by_id(done: Run) -> dict[str, dict[str, Any]]:
    return {record["id"]: comparable(record) for record in done.records("customers")}


@pytest.mark.parametrize(
    "readings",
    [
        pytest.param({}, id="as the sandbox has it"),
        pytest.param({"export_headers": "fields", "export_bom": True}, id="field names and BOM"),
        pytest.param(
            {"export_metadata": "json", "export_line_ends": "crlf", "export_quotes": "all"},
            id="metadata as JSON, CRLF, all quoted",
        ),
    ],
)
def test_an_export_gives_the_records_of_the_list_in_few_calls(
    filled: Sandbox, connection: dict[str, Any], catalog: list[str], readings: dict[str, Any]
) -> None:
    listed = run("tap_voucherify", connection, *catalog)
    filled.readings.change(**readings)
    filled.forget_requests()

    done = exported(connection, *catalog)

    assert done.exit_code == 0, done.log
    assert by_id(done) == by_id(listed)
    assert len(done.records("customers")) == 270
    assert filled.calls <= 20
    assert done.states[-1]["bookmarks"]["customers"].keys() == {
        "replication_key",
        "replication_key_value",
    }


@pytest.mark.parametrize("kind", ["export_fails", "export_vanishes", "export_expires"])
def test_an_export_that_goes_wrong_once_is_made_again(
    filled: Sandbox, connection: dict[str, Any], catalog: list[str], kind: Any
) -> None:
    filled.faults.add(Fault(kind=kind, method="POST", path="/v1/exports"))

    done = exported(connection, *catalog)

    assert done.exit_code == 0, done.log
    assert len(by_id(done)) == 270


@pytest.mark.parametrize("kind", ["export_fails", "export_vanishes"])
def test_an_export_that_goes_wrong_twice_is_one_sentence(
    filled: Sandbox, connection: dict[str, Any], catalog: list[str], kind: Any
) -> None:
    filled.faults.add(Fault(kind=kind, method="POST", path="/v1/exports", times=None))

    done = exported(connection, *catalog)

    assert done.exit_code == 1
    assert "could not make the export, twice" in done.log
    assert "Traceback" not in done.log


def test_an_export_with_rows_missing_fails_and_the_next_run_orders_another(
    filled: Sandbox, connection: dict[str, Any], catalog: list[str], tmp_path: Path
) -> None:
    filled.faults.add(Fault(kind="export_shrinks", method="POST", path="/v1/exports"))

    done = exported(connection, *catalog)

    assert done.exit_code == 1
    assert "the API counted 270 customers but gave 135" in done.log
    kept = done.states[-1]["bookmarks"]["customers"]
    assert kept.keys() == {"export"}
    assert kept["export"]["missing"] == 135
    path = tmp_path / "state.json"
    path.write_text(json.dumps(done.states[-1]))

    again = exported(connection, *catalog, "--state", str(path))

    assert again.exit_code == 0, again.log
    assert len(by_id(again)) == 270


def test_keys_do_not_follow_an_export_to_another_host(
    filled: Sandbox, connection: dict[str, Any], catalog: list[str]
) -> None:
    with Sandbox() as trap:
        filled.faults.add(
            Fault(kind="export_elsewhere", method="POST", path="/v1/exports", location=trap.url)
        )

        done = exported(connection, *catalog)

        assert trap.requests == []
    assert done.exit_code == 1
    assert "on a host that is not Voucherify's" in done.log


def test_an_export_in_flight_is_picked_up_and_not_ordered_twice(
    filled: Sandbox, connection: dict[str, Any], catalog: list[str], tmp_path: Path
) -> None:
    filled.readings.change(export_polls=4)
    cut = exported(connection, *catalog, max_calls=5)
    state = tmp_path / "state.json"
    state.write_text(json.dumps(cut.states[-1]))

    done = exported(connection, *catalog, "--state", str(state))

    assert cut.exit_code == done.exit_code == 0, done.log
    assert cut.records() == []
    assert len(by_id(done)) == 270
    orders = [r for r in filled.requests if (r.method, r.path) == ("POST", "/v1/exports")]
    assert len(orders) == 1


def test_the_address_of_an_export_is_never_logged(
    filled: Sandbox, connection: dict[str, Any], catalog: list[str]
) -> None:
    filled.faults.add(Fault(kind="export_expires", method="POST", path="/v1/exports"))

    done = exported(connection, *catalog)

    tokens = [r.query["token"] for r in filled.requests if "token" in r.query]
    assert len(tokens) == 2
    assert [token for token in tokens if token in done.log] == []


HEADER = [name for name in FIELDS if name != "metadata"]


def csv_of(header: list[str], *rows: list[str]) -> io.BytesIO:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return io.BytesIO(text.getvalue().encode())


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        pytest.param(csv_of(HEADER[:-1]), "columns that are not", id="a column too few"),
        pytest.param(csv_of([*HEADER, "a", "b"]), "columns that are not", id="columns too many"),
        pytest.param(csv_of(HEADER[::-1]), "columns that are not", id="columns in another order"),
        pytest.param(csv_of([]), "columns that are not", id="an empty file"),
        pytest.param(csv_of(HEADER, ["c1"]), "truncated", id="a row cut short"),
        pytest.param(
            io.BytesIO(csv_of(HEADER).getvalue() + b'"c1'), "truncated", id="a quote left open"
        ),
        pytest.param(
            io.BytesIO(csv_of(HEADER).getvalue() + b"\xff\xfe"), "truncated", id="no UTF-8"
        ),
    ],
)
def test_a_file_that_is_not_what_was_asked_for_is_one_sentence(
    file: io.BytesIO, sentence: str
) -> None:
    with pytest.raises(VoucherifyError, match=sentence):
        list(ExportedCustomers(file, {}, lambda _: None))


@pytest.mark.parametrize(
    ("api_url", "url", "allowed"),
    [
        ("https://api.voucherify.io", "https://download.voucherify.io/v1/exports/e?token=t", True),
        ("https://us1.api.voucherify.io", "https://us1.download.voucherify.io/v1/exports/e", True),
        ("https://acme.api.voucherify.io", "https://acme.download.voucherify.io/v1/e", True),
        ("https://api.voucherify.io", "https://api.voucherify.io/v1/exports/e", True),
        ("http://127.0.0.1:8010", "http://127.0.0.1:8010/v1/exports/e", True),
        ("http://127.0.0.1:8010", "http://127.0.0.1:8011/v1/exports/e", False),
        ("https://api.voucherify.io", "http://download.voucherify.io/v1/exports/e", False),
        ("https://api.voucherify.io", "https://download.voucherify.io.evil.example/e", False),
        ("https://api.voucherify.io", "https://download.voucherify.io@evil.example/e", False),
        ("https://api.voucherify.io", "https://evil.example/download.voucherify.io", False),
    ],
)
def test_a_download_may_lie_on_voucherifys_hosts_only(
    api_url: str,
    url: str,
    allowed: bool,  # noqa: FBT001 - the expected answer
) -> None:
    assert may_hold_downloads(url, api_url) is allowed
