"""The tap and the store of webhooks: the same rows as polling, no call, nothing lost with it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from hooks import SECRET, Receiver, receiving
from singer import Run, run, selecting
from voucherify_sandbox import Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REFERRED = "customer.referred"
SETTLED = {"lookback_window": 0}
"""Every event that polling finds is judged, however young."""


class Tap:
    """Runs the tap on a store, each run going on from the last state of the one before."""

    def __init__(self, connection: dict[str, Any], folder: Path, *streams: str) -> None:
        self.folder = folder
        self.config = {**connection, **SETTLED, "webhook_store": str(folder / "store.sqlite")}
        self.catalog = selecting(folder, *streams)
        self.state: dict[str, Any] = {}

    def run(self, **settings: Any) -> Run:
        path = self.folder / "state.json"
        path.write_text(json.dumps(self.state))
        config = {name: v for name, v in {**self.config, **settings}.items() if v is not None}
        done = run("tap_voucherify", config, "--state", str(path), *self.catalog)
        assert done.exit_code == 0, done.log
        self.state = done.states[-1]
        return done

    def summary(self, done: Run, stream: str = "reward_events") -> dict[str, Any]:
        told = json.loads(done.log.rpartition("run summary ")[2].splitlines()[0])
        return {**told["streams"][stream], "calls": told["calls"]}


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "store.sqlite") as running:
        yield running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(readings=Readings(reward_redemptions="activity")) as running:
        for name, kind in (("Gifts", "gift_credit"), ("Points", "loyalty_points")):
            running.project.create_referral_campaign(
                name, referee_reward={kind: 500}, referrer_reward={kind: 100}
            )
        running.project.create_referral_campaign("Coupons", referrer_reward={"discount": 10})
        running.project.create_referral_campaign(
            "Signed up", referrer_reward={"gift_credit": 7}, custom_event="signed_up"
        )
        yield running


def distribution(sandbox: Sandbox, receiver: Receiver, **more: Any) -> str:
    """A webhook that brings every type of the activity list, twice now and then, in disorder."""
    return sandbox.project.add_webhook(
        receiver.url,
        SECRET,
        **{"kind": "distribution", "duplicates": 0.2, "disorder_seconds": 0.3, **more},
    )


def refer(sandbox: Sandbox, first: int = 0) -> None:
    """A referral by each campaign, one of them rolled back."""
    project = sandbox.project
    redeemed = []
    for number, campaign in enumerate(("Gifts", "Points", "Coupons"), first):
        code = project.referral_code(campaign, f"crm-{2 * number}")
        order = {"amount": 1_000 + number, "source_id": f"shop-{number}"}
        redeemed.append(project.redeem(code, f"crm-{2 * number + 1}", order))
    code = project.referral_code("Signed up", f"crm-{first}")
    project.track_event("signed_up", f"crm-{first + 1}", {"code": code})
    project.settle()
    project.roll_back(redeemed[0])
    project.settle()
    assert project.webhooks.wait()


def pass_a_moment(sandbox: Sandbox) -> None:
    """Let what happened so far lie before the start of the next run, as that run sees it.

    A run begins at the `Date` of its first answer, which has whole seconds, if that is before the
    local clock; so it takes what happened within the last second for something of its own time.
    """
    sandbox.clock.advance(2)


def by_id(done: Run) -> dict[str, Any]:
    """Rows without the payload, whose shape differs between the two forms."""
    rows = done.records("reward_events")
    return {row["id"]: {name: row[name] for name in row if name != "data"} for row in rows}


def test_webhooks_give_the_rows_that_polling_gives_without_a_call(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    tap = Tap(connection, tmp_path, "reward_events")
    distribution(sandbox, receiver)
    tap.run()
    refer(sandbox)

    brought = tap.run()
    polled = run("tap_voucherify", connection, *tap.catalog)

    assert len(by_id(brought)) > 20
    assert by_id(brought) == by_id(polled)
    assert tap.summary(brought)["calls"] == 0
    order = [row["id"] for row in brought.records("reward_events")]
    assert order == [one for one in receiver.stored() if one in by_id(polled)]
    assert tap.run().records("reward_events") == []


@pytest.mark.parametrize("events", ["activity", "own"])
def test_project_webhooks_bring_a_part_and_polling_the_rest(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path, events: str
) -> None:
    tap = Tap(connection, tmp_path, "reward_events")
    sandbox.readings.change(webhook_events=events)
    sandbox.project.add_webhook(receiver.url, SECRET)
    tap.run()
    refer(sandbox)

    brought, reconciled = tap.run(), tap.run(reconciliation_interval=0)
    polled = run("tap_voucherify", connection, *tap.catalog)

    assert set(by_id(brought)) < set(by_id(polled))
    assert {**by_id(brought), **by_id(reconciled)} == by_id(polled)
    assert REFERRED not in {row["type"] for row in by_id(brought).values()}
    assert tap.summary(reconciled)["missed_by_webhooks"] == 0


def test_events_that_no_webhook_brought_come_by_polling_and_are_reported(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    tap = Tap(connection, tmp_path, "reward_events")
    webhook = distribution(sandbox, receiver)
    refer(sandbox)
    tap.run()
    sandbox.project.webhooks.change(webhook, types=[])
    refer(sandbox, 100)
    pass_a_moment(sandbox)

    alone, reconciled = tap.run(), tap.run(reconciliation_interval=0)

    assert by_id(alone) == {}
    summary = tap.summary(reconciled)
    # Within the lookback, polling also brings again what webhooks had brought.
    assert 20 < summary["missed_by_webhooks"] <= summary["rows"]
    assert "no webhook delivered" in reconciled.log
    assert "missed_by_webhooks" not in tap.summary(tap.run())


def aged(store: Path, days: int) -> None:
    """Let every event of the store have come so many days ago."""
    base = sqlite3.connect(store)
    base.execute(
        "UPDATE events SET received_at = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', ?)",
        (f"-{days} days",),
    )
    base.commit()
    base.close()


def test_an_event_that_no_webhook_brought_is_reported_once(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    tap = Tap(connection, tmp_path, "reward_events")
    often = {"reconciliation_interval": 0, "lookback_window": 20}
    sandbox.clock.advance(-3_600)
    webhook = distribution(sandbox, receiver)
    refer(sandbox)
    aged(receiver.store, 1)
    tap.run(**often)
    sandbox.project.webhooks.change(webhook, types=[])
    refer(sandbox, 100)
    sandbox.clock.advance(30)

    first, again = tap.run(**often), tap.run(**often)

    assert tap.summary(first)["missed_by_webhooks"] > 20
    assert set(by_id(again)) & set(by_id(first))
    assert tap.summary(again)["missed_by_webhooks"] == 0


def test_events_go_once_a_state_came_back_and_a_lost_state_loses_nothing(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    tap = Tap(connection, tmp_path, "reward_events")
    distribution(sandbox, receiver, types=[REFERRED])
    tap.run()
    before, count = tap.state, 4
    refer(sandbox)

    read = tap.run()
    aged(receiver.store, 13)
    young = tap.run(), len(receiver.stored())
    aged(receiver.store, 15)
    tap.state = before
    replayed = tap.run(), len(receiver.stored())
    tap.run()
    dropped = len(receiver.stored())
    tap.state = before
    after_drop = tap.run()
    tap.state = {}
    lost = tap.run()

    assert len(by_id(read)) == count
    assert (len(by_id(young[0])), young[1]) == (0, count)
    assert (len(by_id(replayed[0])), replayed[1]) == (count, count)
    assert dropped == 0
    everything = set(by_id(run("tap_voucherify", connection, *tap.catalog)))
    assert set(by_id(after_drop)) == set(by_id(lost)) == everything


def test_what_another_job_has_not_read_stays(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    one, other = (Tap(connection, tmp_path, "reward_events") for _ in range(2))
    distribution(sandbox, receiver, types=[REFERRED])
    for tap in (one, other, one, other):
        tap.run()
    refer(sandbox)
    aged(receiver.store, 15)

    for _ in range(2):
        one.run()
    assert len(receiver.stored()) == 4
    assert len(by_id(other.run())) == 4
    other.run()
    assert receiver.stored() == []


def test_a_customer_whom_the_list_leaves_out_is_read_because_a_webhook_names_it(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    tap = Tap(connection, tmp_path, "customers")
    sandbox.readings.change(recalculation_updates=False)
    distribution(sandbox, receiver)
    sandbox.project.add_customers(3)
    tap.run()
    refer(sandbox)
    pass_a_moment(sandbox)
    newcomers = tap.run()
    sandbox.project.delete_customer("crm-5")
    code = sandbox.project.referral_code("Points", "crm-1")
    sandbox.project.redeem(code, "crm-0", {"amount": 1_000})
    sandbox.project.settle()
    assert sandbox.project.webhooks.wait()

    named = {row["source_id"]: row for row in tap.run().records("customers")}

    assert {f"crm-{number}" for number in range(6)} == {
        row["source_id"] for row in newcomers.records("customers")
    }
    assert set(named) == {"crm-0", "crm-1"}
    assert named["crm-1"]["loyalty"]["points"] > 0
    assert "assets" not in named["crm-1"]


def test_a_deletion_is_told_with_the_key_that_the_customer_had(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    tap = Tap(connection, tmp_path, "customer_deletions")
    sandbox.project.add_webhook(receiver.url, SECRET)
    identity = sandbox.project.add_customers(2)[1]
    sandbox.project.delete_customer("crm-1")
    assert sandbox.project.webhooks.wait()

    first = tap.run()

    ((deleted),) = first.records()
    assert (deleted["id"], deleted["source_id"]) == (identity, "crm-1")
    assert deleted["deleted_at"] > "2026"
    assert tap.run().records() == []
    tap.state = {}
    assert tap.run().records() == [deleted]
    beside = Tap(connection, tmp_path, "customers", "customer_deletions")
    assert "needs the setting webhook_store" in beside.run(webhook_store=None).log


def copied(backup: Path, store: Path) -> None:
    """Write the backup into the file that is there."""
    store.write_bytes(backup.read_bytes())


def put_in_place(backup: Path, store: Path) -> None:
    """Let a copy of the backup take the place of the file."""
    copied(backup, store.with_name("copy"))
    store.with_name("copy").replace(store)


RESTORES = [
    pytest.param((restore, running, has_read), id=f"{restore.__name__} {running=} {has_read=}")
    for restore in (copied, put_in_place)
    for running in (True, False)
    for has_read in (True, False)
    # In content and place that one is the store of a receiver that was stopped.
    if (restore, running, has_read) != (copied, False, False)
]
"""How the backup is restored, whether it is of a running receiver, and whether a run followed."""


@pytest.mark.parametrize("case", RESTORES)
def test_after_a_restore_the_tap_polls_and_says_that_deletions_are_unknown(
    sandbox: Sandbox,
    receiver: Receiver,
    connection: dict[str, Any],
    tmp_path: Path,
    case: tuple[Callable[[Path, Path], None], bool, bool],
) -> None:
    restore, running, has_read = case
    tap, store, backup = Tap(connection, tmp_path, *BOTH), receiver.store, tmp_path / "backup"
    distribution(sandbox, receiver)
    refer(sandbox)
    tap.run()
    if not running:
        receiver.stop()
        backup.write_bytes(store.read_bytes())
        receiver.start()
    else:
        with sqlite3.connect(store) as base, sqlite3.connect(backup) as copy:
            base.backup(copy)
    if has_read:
        tap.run()
    refer(sandbox, 100)  # acknowledged, and lost with the restore
    receiver.stop()
    for file in tmp_path.glob("store.sqlite-*"):
        file.unlink()
    restore(backup, store)
    receiver.start()
    refer(sandbox, 200)
    pass_a_moment(sandbox)

    after, later = tap.run(), tap.run()

    expected = by_id(run("tap_voucherify", connection, *tap.catalog))
    assert {name for name, row in expected.items() if "shop-10" in str(row)} <= set(by_id(after))
    assert "among them are unknown" in after.log
    assert "among them are unknown" not in later.log
    assert tap.summary(later)["calls"] == 0


BOTH = ("reward_events", "customer_deletions")


def test_a_receiver_that_stopped_in_order_needs_no_polling(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    tap = Tap(connection, tmp_path, *BOTH)
    distribution(sandbox, receiver)
    tap.run()
    for number in (signal.SIGTERM, signal.SIGINT):
        receiver.stop(number)
        receiver.start()
        assert tap.summary(tap.run())["calls"] == 0
    receiver.stop(signal.SIGKILL)
    receiver.start()

    killed = tap.run()

    assert tap.summary(killed)["calls"] > 0
    assert "among them are unknown" in killed.log
    assert tap.summary(tap.run())["calls"] == 0


UNREADABLE = {
    "words": "yesterday",
    "no such day": "2026-02-30T10:00:00Z",
    "before year 1 in UTC": "0001-01-01T00:00:00+14:00",
    "after year 9999 in UTC": "9999-12-31T23:59:59-14:00",
    "an impossible offset": "2026-03-02T10:15:31+99:99",
    "a number": 1_772_446_531,
    "null": None,
}


def test_an_event_with_an_unreadable_time_gets_that_of_its_receipt(
    sandbox: Sandbox, receiver: Receiver, connection: dict[str, Any], tmp_path: Path
) -> None:
    del sandbox
    tap = Tap(connection, tmp_path, "reward_events", "customer_deletions")
    tap.run()
    for name, created_at in UNREADABLE.items():
        for kind in ("customer.rewarded", "customer.deleted"):
            event = {"id": f"{kind} {name}", "type": kind, "created_at": created_at}
            body = {"event": event, "data": {"customer": {"id": f"cust_{name}"}}}
            assert receiver.post(json.dumps(body).encode())[0] == 204, name

    done = tap.run()

    today = datetime.now(UTC).isoformat()[:10]
    for stream, column in (("reward_events", "created_at"), ("customer_deletions", "deleted_at")):
        rows = done.records(stream)
        assert len(rows) == len(UNREADABLE)
        assert {row[column][:10] for row in rows} == {today}
    assert done.log.count(f"{len(UNREADABLE)} stored events have no readable `created_at`") == 2
    assert tap.run().records() == []


def test_a_store_that_is_not_there_is_an_error_and_is_not_made(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    del sandbox
    tap = Tap(connection, tmp_path, "reward_events")
    other = tmp_path / "other.sqlite"
    sqlite3.connect(other).execute("CREATE TABLE mine (a)").connection.close()

    for store, words in ((tmp_path / "none.sqlite", "names no file"), (other, "cannot be used")):
        done = run("tap_voucherify", {**tap.config, "webhook_store": str(store)}, *tap.catalog)
        assert done.exit_code == 1
        assert words in done.log
        assert store.exists() == (store == other)


def test_the_tap_needs_no_library_of_the_receiver() -> None:
    asked = (
        "import sys; import tap_voucherify.__main__;"
        "print({name.split('.')[0] for name in sys.modules}"
        " & {'starlette', 'uvicorn', 'prometheus_client'})"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    blocked = (
        "import sys; sys.modules['uvicorn'] = None;"
        "from tap_voucherify.webhooks.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked], capture_output=True, text=True, check=False
    )
    leaks.saw(done.stderr)
    assert (done.returncode, "install tap-voucherify[webhooks]" in done.stderr) == (1, True)


def test_a_store_that_was_written_over_is_one_sentence_of_each_program(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    """As `cp backup store` does under a running receiver."""
    del sandbox
    path = tmp_path / "store.sqlite"
    with receiving(path) as receiver:
        for number in range(40):
            event = {"id": f"evcus_{number}", "type": REFERRED, "created_at": NOW}
            body = json.dumps({"data": {"x": "y" * 3_000}, "event": event}).encode()
            assert receiver.post(body)[0] == 204
        assert receiver.stop() == 0
        whole = path.read_bytes()
        path.write_bytes(whole[:8_192] + b"\x55" * (len(whole) - 8_192))

        config = {**connection, "webhook_store": str(path)}
        done = run("tap_voucherify", config, *selecting(tmp_path, "reward_events"))

    assert done.exit_code == 1
    (sentence,) = [line for line in done.log.splitlines() if "| CRITICAL" in line]
    assert "The webhook store is damaged" in sentence


@pytest.mark.parametrize("customer_id", ["..", "."])
def test_a_customer_id_that_no_request_can_hold_is_left_out(
    sandbox: Sandbox,
    connection: dict[str, Any],
    receiver: Receiver,
    tmp_path: Path,
    customer_id: str,
) -> None:
    tap = Tap(connection, tmp_path, "customers")
    sandbox.project.upsert_customer({"source_id": "one"})
    tap.run()
    event = {"id": "evcus_1", "type": "customer.updated", "created_at": NOW}
    data = {"customer": {"id": customer_id}}
    assert receiver.post(json.dumps({"data": data, "event": event}).encode())[0] == 204
    sandbox.project.upsert_customer({"source_id": "two"})

    done = tap.run()

    assert "an id that no request can hold" in done.log
    assert [record["source_id"] for record in done.records()][-1] == "two"
    assert "no request can hold" not in tap.run().log


NOW = "2026-03-02T10:15:31.412Z"
