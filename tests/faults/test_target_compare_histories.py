"""Random histories with `compare: export`: one run makes the project what the CRM is."""

from __future__ import annotations

import os
import shutil
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import lines, state
from target_run import Outcome, load, settings
from voucherify_sandbox import Fault, Readings, Sandbox
from voucherify_sandbox.errors import ApiError
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TORTURE = bool(os.environ.get("TORTURE"))
KEYS = [f"crm-{number}" for number in range(12)]
TEXTS = (
    *("Ann", "ann", "Ann ", ' "quoted"', "two\nlines", "a,b;c", "Łódź ❤", "'", "0012", "1e5"),
    *("null", "true", "[1]", "{}", "=1+1", "x" * 300, "\\", "\t", "", "2024-02-29", "12.50"),
    None,
)
SCHEMA = {
    "tier": {"type": "string"},
    "points": {"type": "number"},
    "vip": {"type": "boolean"},
    "since": {"type": "date"},
    "seen": {"type": "datetime"},
    "tags": {"type": "string", "array": True},
    "box": {"type": "object"},
}
VALUES: dict[str, tuple[Any, ...]] = {
    "tier": TEXTS,
    "points": (0, 1, -7, 12.5, 1e15, None),
    "vip": (True, False, None),
    "since": ("2024-02-29", "1999-12-31", None),
    "seen": ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00.123Z", None),
    "tags": (["a", "b, c", 'd"'], [], None),
    "box": ({"a": 1, "b": [None, "x"]}, {}, None),
}
PROPERTIES: dict[str, Any] = {
    "source_id": {"type": "string"},
    **{name: {} for name in ("name", "description", "phone", "birthdate", "city", *SCHEMA)},
}
MAPPING = {
    **{name: name for name in ("name", "description", "phone", "birthdate")},
    "address.city": "city",
    **{f"metadata.{name}": name for name in SCHEMA},
}
Row = dict[str, Any]


class History:
    """A CRM, a project, and what happens to both."""

    def __init__(self, seed: int, sandbox: Sandbox, folder: Path) -> None:
        self.random = Random(seed)
        self.sandbox = sandbox
        self.ledger = folder / "ledger.db"
        self.backup = folder / "backup.db"
        self.crm: dict[str, Row] = {key: self.made_up() for key in KEYS}
        self.config = settings(
            sandbox,
            compare="export",
            mapping=MAPPING,
            write_path=self.random.choice(("bulk", "bulk", "single", "auto")),
            ledger_path=str(self.ledger),
        )

    def made_up(self) -> Row:
        choice = self.random.choice
        row = {name: choice(TEXTS) for name in ("name", "description", "city")}
        row["phone"] = choice(("+1 555 0100", "+15550101", None))
        row["birthdate"] = choice(("1990-01-31", None))
        return {**row, **{name: choice(values) for name, values in VALUES.items()}}

    def run(self, **more: Any) -> Outcome:
        records = [{"source_id": key, **row} for key, row in self.crm.items()]
        schema = {"type": "object", "properties": PROPERTIES}
        first = {
            "type": "SCHEMA",
            "stream": "customers",
            "schema": schema,
            "key_properties": ["source_id"],
        }
        sent = [{"type": "RECORD", "stream": "customers", "record": row} for row in records]
        return load({**self.config, **more}, lines(first, *sent, state(1)))

    def step(self) -> None:
        often = (self.change, self.edit, self.lie)
        seldom = (self.delete, self.land_late, self.lose_ledger, self.back_up, self.restore)
        self.random.choice((*often, *often, *seldom))()

    def change(self) -> None:
        for key in self.random.sample(KEYS, 4):
            self.crm[key] |= self.made_up()

    def edit(self) -> None:
        fields: Row = self.random.choice(
            (
                {"name": "By Hand"},
                {"description": None},
                {"address": {"city": "Elsewhere"}},
                {"metadata": {"points": 99, "tier": "by hand", "vip": True}},
                {"phone": "+49 30 1"},
            )
        )
        self.on_one(lambda key: self.sandbox.project.update_customer(key, fields))

    def delete(self) -> None:
        self.on_one(self.sandbox.project.delete_customer)

    def on_one(self, act: Callable[[str], object]) -> None:
        key = self.random.choice(KEYS)
        if self.sandbox.project.customer_by_source_id(key):
            try:
                act(key)
            except ApiError:
                return

    def land_late(self) -> None:
        """Another program's job is queued, and writes after the run has begun."""
        wire = Wire(self.sandbox)
        rows = [{"source_id": key, "name": "Late"} for key in self.random.sample(KEYS, 3)]
        wire("POST", "/v1/customers/bulk/async", rows)
        wire.close()

    def lose_ledger(self) -> None:
        self.ledger.unlink(missing_ok=True)

    def back_up(self) -> None:
        if self.ledger.exists():
            shutil.copy(self.ledger, self.backup)

    def restore(self) -> None:
        if self.backup.exists():
            shutil.copy(self.backup, self.ledger)

    def lie(self) -> None:
        """A run whose job says that it wrote everything and did not, with the proof."""
        path = "/v1/customers/bulk/async"
        self.change()
        self.sandbox.faults.add(Fault(kind="job_lies", path=path, method="POST"))
        done = self.run(verify=True, write_path="bulk")
        self.sandbox.faults.clear()
        if self.differing():
            assert done.error is not None
            assert done.states == []

    def differing(self) -> list[tuple[str, str]]:
        """What of the CRM the project does not hold."""
        return [
            (key, name)
            for key, row in self.crm.items()
            for name, value in row.items()
            if not is_same(value, self.held(key).get(name))
        ]

    def held(self, key: str) -> Row:
        customer = self.sandbox.project.customer_by_source_id(key) or {}
        city = (customer.get("address") or {}).get("city")
        return {**customer, "city": city, **(customer.get("metadata") or {})}


def is_same(sent: Any, there: Any) -> bool:
    """Whether what was sent is there; what is empty is not sent, or may be absent."""
    return sent in ("", [], {}, None) or sent == there


@pytest.mark.parametrize("seed", range(200 if TORTURE else 6))
def test_one_run_makes_the_project_what_the_crm_is(seed: int, tmp_path: Path) -> None:
    random, has_schema = Random(seed), seed % 4 > 0
    readings = Readings(
        # An export with a column for each key shows none that no schema defines.
        export_metadata=random.choice(("json", "columns")) if has_schema else "json",
        export_headers=random.choice(("fields", "display")),
        export_quotes=random.choice(("minimal", "all")),
        export_bom=random.random() < 0.5,
        job_polls=random.choice((0, 1)),
        metadata=random.choice(("merge", "replace")),
    )
    with Sandbox(readings=readings) as sandbox:
        if has_schema:
            sandbox.project.define_metadata("customer", SCHEMA)
        history = History(seed, sandbox, tmp_path)
        for _ in range(5):
            history.step()
            assert history.run().error is None
            assert history.differing() == []
            again = history.run(verify=history.random.random() < 0.3)
            assert again.error is None
            assert again.summary["accepted"] == 0
