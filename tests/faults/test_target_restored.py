"""A ledger that was restored from a backup: it knows less than Voucherify and the tap."""

from __future__ import annotations

import fcntl
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import lines, record, schema, state
from target_run import held, load, settings

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

Message = dict[str, Any]


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(
        project,
        on_delete="delete",
        max_delete_percent=100,
        ledger_path=str(tmp_path / "ledger.db"),
    )


def records(numbers: range, version: int, **more: Any) -> list[Message]:
    return [{**record(number, **more), "version": version} for number in numbers]


def ended(version: int) -> list[Message]:
    activation = {"type": "ACTIVATE_VERSION", "stream": "customers", "version": version}
    return [activation, state({"version": version})]


def whole(numbers: range, version: int, **more: Any) -> str:
    return lines(schema(), *records(numbers, version, **more), *ended(version))


def keys(numbers: range) -> set[str]:
    return {f"crm-{number}" for number in numbers}


@pytest.fixture(params=["only the ledger", "the ledger, in place", "its lock, too"])
def restore(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Make a backup; the function restores it."""
    names = ["ledger.db", "ledger.db.lock"] if request.param == "its lock, too" else ["ledger.db"]

    def backup() -> Any:
        (tmp_path / "backup").mkdir()
        for name in names:
            shutil.copy(tmp_path / name, tmp_path / "backup")
        return put_back

    def put_back() -> None:
        for name in names:
            if "in place" not in request.param:
                (tmp_path / name).unlink()
            shutil.copyfile(tmp_path / "backup" / name, tmp_path / name)

    return backup


def test_a_tap_that_resumes_after_a_restore_deletes_nobody(
    project: Sandbox, config: dict[str, Any], restore: Any
) -> None:
    """The restored ledger does not know that an earlier run began the version."""
    load(config, whole(range(20), 1))
    put_back = restore()
    load(config, lines(schema(), *records(range(8), 2), state({"seen": 8})))
    put_back()

    done = load(config, lines(schema(), *records(range(8, 20), 2), *ended(2)))

    assert (done.error, done.states) == (None, [{"version": 2}])
    assert held(project) == keys(range(20))
    assert "was restored or copied" in done.log

    done = load(config, whole(range(18), 3))
    assert (done.error, held(project)) == (None, keys(range(18)))
    assert "was restored or copied" not in done.log


def test_customers_that_change_back_after_a_restore_are_sent(
    project: Sandbox, config: dict[str, Any], restore: Any
) -> None:
    load(config, whole(range(5), 1))
    put_back = restore()
    load(config, whole(range(5), 2, name="Newer"))
    put_back()

    done = load(config, whole(range(5), 3))

    assert (done.error, done.summary["accepted"]) == (None, 5)
    assert project.project.customer_by_source_id("crm-3")["name"] == "Contact 3"


@pytest.mark.usefixtures("project")
def test_without_a_restore_nothing_is_sent_again(config: dict[str, Any]) -> None:
    load(config, whole(range(5), 1))
    load({**config, "dry_run": True}, whole(range(5), 2))

    done = load(config, whole(range(5), 3))

    assert (done.error, done.summary["unchanged"]) == (None, 5)
    assert "was restored or copied" not in done.log


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("other", ["refused.singer", "ledger-orders.db"])
def test_a_run_that_ends_at_a_lock_makes_no_ledger_suspect(
    config: dict[str, Any], tmp_path: Path, other: str
) -> None:
    config |= {"refused_records_path": str(tmp_path / "refused.singer"), "entities": {"orders": {}}}
    load(config, whole(range(5), 1))

    with (tmp_path / f"{other}.lock").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is in use by another run" in str(load(config, whole(range(5), 2)).error)

    done = load(config, whole(range(5), 3))
    assert (done.error, done.summary["unchanged"]) == (None, 5)
    assert "was restored or copied" not in done.log


@pytest.mark.usefixtures("project")
def test_a_ledger_that_another_program_reads_is_none_that_was_restored(
    config: dict[str, Any], tmp_path: Path
) -> None:
    load(config, whole(range(5), 1))

    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM about").fetchone()
        assert "another program holds it" in str(load(config, whole(range(5), 2)).error)

    done = load(config, whole(range(5), 3))
    assert (done.error, done.summary["unchanged"]) == (None, 5)
    assert "was restored or copied" not in done.log
