"""With `echo_ledger_path` the tap leaves out what the target wrote, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import stat
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import TEXT, lines, schema, state
from tap_run import extract
from tap_voucherify.streams.echo_guard import EchoGuard, Passed
from tap_voucherify.voucherify_client.errors import SettingsError
from target_run import load, settings
from voucherify_sandbox import Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TORTURE = bool(os.environ.get("TORTURE"))
MAPPING = {"name": "name", "address.city": "city", "metadata.tier": "tier"}
PROPERTIES = {"source_id": TEXT, "name": TEXT, "city": TEXT, "tier": TEXT}
Row = dict[str, Any]


class Pair:
    """A CRM that writes through the target, and a mirror that the tap fills."""

    def __init__(self, sandbox: Sandbox, folder: Path, **more: Any) -> None:
        self.sandbox = sandbox
        self.ledger = folder / "ledger.db"
        self.echoes = folder / "ledger-echoes.db"
        self.more = more
        self.crm: dict[str, Row] = {}
        self.mirror: dict[str, Row] = {}
        self.state: Row = {}

    def write(self, keys: list[str], **fields: Any) -> None:
        """The CRM changes customers, and the target sends them."""
        for key in keys:
            self.crm[key] = {**self.crm.get(key, {"name": None}), **fields}
        rows = [{"source_id": key, **self.crm[key]} for key in keys]
        messages = [schema(PROPERTIES)]
        messages += [{"type": "RECORD", "stream": "customers", "record": row} for row in rows]
        config = settings(self.sandbox, ledger_path=str(self.ledger), mapping=MAPPING, **self.more)
        config["write_path"] = "single"
        assert load(config, lines(*messages, state(1))).error is None
        self.later()

    def later(self) -> None:
        self.sandbox.clock.advance(120)
        self.sandbox.project.settle()

    def read(self, arrives: int | None = None, **more: Any) -> list[Row]:
        """The tap runs; of its messages so many arrive, and the last state of these."""
        keys = {"application_id": self.sandbox.application_id, "secret_key": "s"}
        keys = {**keys, "secret_key": self.sandbox.secret_key, "api_url": self.sandbox.url}
        config = {**keys, "echo_ledger_path": str(self.ledger), **more}
        messages = extract(config, self.state, only="customers")[:arrives]
        rows = [one["record"] for one in messages if one["type"] == "RECORD"]
        self.mirror.update({row["id"]: row for row in rows})
        states = [one["value"] for one in messages if one["type"] == "STATE"]
        self.state = states[-1] if states else self.state
        self.later()
        return rows

    def lost(self) -> list[Row]:
        """Customers of which the mirror misses something that the CRM does not know."""
        return [row for row in self.sandbox.project.customers.values() if self.is_lost(row)]

    def is_lost(self, row: Row) -> bool:
        known = self.mirror.get(row["id"])
        if known is None:
            return True
        own = {"name": row.get("name"), "city": (row.get("address") or {}).get("city")}
        own["tier"] = row["metadata"].get("tier")
        sent = self.crm.get(row["source_id"], {})
        is_own = all(sent.get(name) == value for name, value in own.items())
        return rest(known) != rest(row) or (not is_own and visible(known) != visible(row))


def visible(row: Row) -> Row:
    """What a record and a customer of the project both show, as JSON."""
    names = ("name", "description", "email", "address", "metadata", "summary", "loyalty")
    shown = {name: row.get(name) for name in names}
    shown["address"] = {k: v for k, v in (row.get("address") or {}).items() if v is not None}
    return json.loads(json.dumps(shown, sort_keys=True, default=str))  # type: ignore[no-any-return]


def rest(row: Row) -> Row:
    """The same without what the CRM writes."""
    shown = visible(row)
    shown.pop("name")
    shown["address"].pop("city", None)
    shown["metadata"].pop("tier", None)
    return shown


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Sandbox(readings=Readings(settle_seconds=1)) as sandbox:
        yield Pair(sandbox, tmp_path)


KEYS = [f"crm-{number}" for number in range(5)]


def test_what_the_target_wrote_does_not_come_back(pair: Pair) -> None:
    pair.write(KEYS, name="Ann", city="Łódź", tier="gold")
    assert len(pair.read()) == 5
    pair.write(KEYS[:3], tier="silver")
    assert pair.read() == []
    assert pair.lost() == []


def test_what_anybody_else_did_comes_at_once(pair: Pair) -> None:
    pair.write(KEYS, name="Ann", city="Łódź", tier="gold")
    pair.read()
    pair.write(KEYS, tier="silver")
    project = pair.sandbox.project
    project.update_customer("crm-0", {"name": "By Hand"})
    project.update_customer("crm-1", {"description": "By hand"})
    project.place_order("crm-2", {"amount": 1200, "status": "PAID"})
    project.update_customer("crm-3", {"metadata": {"shoe": 43}})
    pair.later()
    assert {row["source_id"] for row in pair.read()} == {"crm-0", "crm-1", "crm-2", "crm-3"}
    assert pair.lost() == []


def test_a_record_that_was_lost_comes_again(pair: Pair) -> None:
    pair.write(KEYS, name="Ann", tier="gold")
    last = pair.read()[-1]["source_id"]
    pair.sandbox.project.place_order(last, {"amount": 1200, "status": "PAID"})
    pair.later()
    assert len(pair.read(arrives=0)) == 0
    pair.write(KEYS, tier="silver")
    assert [row["source_id"] for row in pair.read()] == [last]
    assert pair.lost() == []


def test_before_the_first_run_of_the_target_everything_comes(pair: Pair) -> None:
    pair.sandbox.project.add_customers(3)
    assert len(pair.read()) == 3
    pair.write(["crm-1"], name="Ann")
    assert "Ann" in {row["name"] for row in pair.read()}
    assert pair.lost() == []


@pytest.mark.parametrize("content", [b"", None], ids=["an empty file", "no file"])
def test_a_ledger_that_has_just_begun_knows_no_echo(content: bytes | None, pair: Pair) -> None:
    pair.sandbox.project.add_customers(3)
    if content is not None:
        pair.ledger.write_bytes(content)
    assert len(pair.read()) == 3


def test_a_full_table_and_a_slice_have_every_customer(pair: Pair) -> None:
    pair.write(KEYS, name="Ann")
    pair.read()
    pair.write(KEYS, name="Bo")
    pair.state = {}
    span = {"start_date": "2020-01-01T00:00:00Z", "end_date": "2100-01-01T00:00:00Z"}
    assert len(pair.read(**span)) == 5


def test_its_file_is_private_and_holds_no_person(pair: Pair) -> None:
    pair.write(KEYS, name="Ann Secret")
    pair.read()
    assert stat.S_IMODE(pair.echoes.stat().st_mode) == 0o600
    assert b"Secret" not in pair.echoes.read_bytes()


def test_another_file_state_or_project_is_not_believed(pair: Pair, tmp_path: Path) -> None:
    pair.write(KEYS, name="Ann")
    pair.read()
    shutil.copy(pair.echoes, tmp_path / "backup")
    pair.sandbox.project.place_order("crm-2", {"amount": 1200, "status": "PAID"})
    pair.later()
    pair.read()
    shutil.copy(tmp_path / "backup", pair.echoes)
    pair.write(KEYS, name="Bo")
    assert len(pair.read()) == 5, "a restored file is older than the state"
    with pytest.raises(SettingsError, match="another project"):
        EchoGuard(pair.ledger, "other", Passed())


def test_two_runs_do_not_share_a_file(pair: Pair) -> None:
    pair.write(KEYS, name="Ann")
    guard = EchoGuard(pair.ledger, pair.sandbox.application_id, Passed())
    with pytest.raises(SettingsError, match="let no two runs"):
        EchoGuard(pair.ledger, pair.sandbox.application_id, Passed())
    guard.close()
    EchoGuard(pair.ledger, pair.sandbox.application_id, Passed()).close()


class Histories:
    """Random histories of a pair."""

    def __init__(self, seed: int, pair: Pair, folder: Path) -> None:
        self.random = Random(seed)
        self.pair = pair
        self.backup = folder / "backup"
        self.saved: tuple[Row, dict[str, Row]] | None = None

    def step(self) -> None:
        """Something happens to the project, to a run, or to a file."""
        kinds = (self.write, self.change, self.order, self.read, self.read, self.cut)
        self.random.choice((*kinds, self.back_up, self.restore))()
        self.pair.later()

    def write(self) -> None:
        some = [key for key in KEYS if self.random.random() < 0.5] or KEYS[:1]
        field = self.random.choice(("name", "city", "tier"))
        self.pair.write(some, **{field: self.random.choice("abc")})

    def change(self) -> None:
        fields = {self.random.choice(("name", "description")): self.random.choice("abc")}
        self.pair.sandbox.project.update_customer(self.random.choice(KEYS), fields)

    def order(self) -> None:
        order = {"amount": 100, "status": "PAID"}
        self.pair.sandbox.project.place_order(self.random.choice(KEYS), order)

    def read(self) -> None:
        self.pair.read()

    def cut(self) -> None:
        limit = self.random.choice(({}, {"max_calls": 2}, {"max_calls": 3}))
        self.pair.read(arrives=self.random.randrange(8), **limit)

    def back_up(self) -> None:
        self.saved = (self.pair.state, dict(self.pair.mirror))
        if self.pair.echoes.exists():
            shutil.copy(self.pair.echoes, self.backup)

    def restore(self) -> None:
        """The state with its mirror comes back, the file of echoes, or both."""
        if self.saved is not None and self.random.random() < 0.6:
            self.pair.state, self.pair.mirror = self.saved[0], dict(self.saved[1])
        if self.backup.exists() and self.random.random() < 0.6:
            shutil.copy(self.backup, self.pair.echoes)


@pytest.mark.parametrize("seed", range(400 if TORTURE else 12))
def test_no_history_loses_a_change(seed: int, tmp_path: Path) -> None:
    nulls = "send" if seed % 3 == 0 else "drop"
    with Sandbox(readings=Readings(settle_seconds=1)) as sandbox:
        pair = Pair(sandbox, tmp_path, nulls=nulls)
        pair.write(KEYS, name="a", city="a", tier="a")
        history = Histories(seed, pair, tmp_path)
        for _ in range(14):
            history.step()
        pair.read()
        assert pair.lost() == []
