"""A replay knows which of two records is newer, whatever the ledger knew of the refusal."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import PROPERTIES, TEXT, lines, record, schema, state
from target_run import held, load, settings
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from target_run import Outcome

DELETED = {**PROPERTIES, "_sdc_deleted_at": TEXT}
GONE = {"_sdc_deleted_at": "2026-01-01T00:00:00Z"}


@pytest.fixture(params=["bulk", "single"])
def config(request: pytest.FixtureRequest, project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(
        project,
        write_path=request.param,
        batch_size_rows=10,
        on_delete="delete",
        ledger_path=str(tmp_path / "ledger.db"),
        refused_records_path=str(tmp_path / "refused.singer"),
    )


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    return tmp_path / "refused.singer"


def wrong(number: int, name: str, **more: Any) -> dict[str, Any]:
    """A record that is refused until `replay` corrects it."""
    return record(number, name=[name], **more)


def replay(config: dict[str, Any], refused: Path) -> Outcome:
    """Replay the file as another input, so that a run of this process can read it."""
    text = refused.read_text()
    refused.unlink()
    return load(config, correct(text))


def correct(text: str) -> str:
    return re.sub(r'"name": \["(\w+)"\]', r'"name": "\1"', text)


def names(project: Sandbox) -> dict[str, str]:
    return {one["source_id"]: one["name"] for one in project.project.customers.values()}


def moved(text: str, hours: float) -> str:
    """The lines with every `_refused_at` moved."""

    def later(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[1]) + timedelta(hours=hours)
        return f'"_refused_at":"{at.astimezone(UTC).isoformat()}"'

    return re.sub(r'"_refused_at":"([^"]+)"', later, text)


def test_of_two_refused_records_the_newer_wins(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    """More customers than a batch has, so that the older ones are confirmed first."""
    numbers = range(120)
    load(config, lines(schema(), *(wrong(n, "old") for n in numbers), state(1)))
    load(config, lines(schema(), *(wrong(n, "new") for n in numbers), state(2)))
    done = replay(config, refused)
    assert done.error is None
    assert set(names(project).values()) == {"new"}
    assert done.summary["accepted"] + done.summary["duplicates"] == 240
    assert done.summary["superseded"] == 0


def test_a_replay_that_ends_between_two_records_loses_neither(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    numbers = range(105)
    load(config, lines(schema(), *(wrong(n, "old") for n in numbers)))
    load(config, lines(schema(), *(wrong(n, "new") for n in numbers)))
    text = correct(refused.read_text())
    refused.unlink()
    cut = load({**config, "max_calls": 20 if config["write_path"] == "bulk" else 102}, text)
    assert set(names(project).values()) == {"old"}
    assert not cut.summary["complete"]
    done = load(config, text)
    assert (done.error, set(names(project).values())) == (None, {"new"})


@pytest.mark.parametrize("ledger", ["ledger.db", None])
def test_the_order_is_that_of_reading_and_not_that_of_the_file(
    project: Sandbox, config: dict[str, Any], refused: Path, ledger: str | None
) -> None:
    """A job may refuse a record after a newer one was refused before it was sent."""
    config |= {} if ledger else {"ledger_path": None}
    load(config, lines(schema(), wrong(1, "old")))
    load(config, lines(schema(), wrong(1, "new")))
    declared, *records = refused.read_text().splitlines(keepends=True)
    later = [line for line in records if "RECORD" in line][::-1]
    refused.write_text("".join((declared, *later)))
    done = replay(config, refused)
    assert (names(project), done.summary["superseded"]) == ({"crm-1": "new"}, 1)


def test_a_record_that_is_refused_again_keeps_its_time(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    load(config, lines(schema(), wrong(1, "old")))
    copy = refused.read_text()
    refused.unlink()
    load(config, lines(schema(), wrong(1, "new")))
    load(config, copy)  # refused again, after the newer one
    done = replay(config, refused)
    assert (names(project), done.summary["superseded"]) == ({"crm-1": "new"}, 1)


def test_a_record_that_a_stream_map_failed_on_is_known_by_its_time(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    failing = {"stream_maps": {"customers": {"name": "name.upper()"}}}
    fixed = {"stream_maps": {"customers": {"name": "name or 'nobody'"}}}
    load({**config, **failing}, lines(schema(), record(1, name=None), state(1)))
    load({**config, **failing}, lines(schema(), record(1, name="new"), state(2)))
    assert load({**config, **failing}, lines(schema(), record(1, name="new"))).error is None
    done = replay({**config, **fixed}, refused)
    assert (names(project), done.summary["superseded"]) == ({"crm-1": "NEW"}, 1)


def test_a_record_that_is_unchanged_since_is_newer_whatever_failed(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    failing = {"stream_maps": {"customers": {"name": "name.upper()"}}}
    fixed = {"stream_maps": {"customers": {"name": "(name or 'nobody').upper()"}}}
    load({**config, **failing}, lines(schema(), record(1, name="same")))
    load({**config, **failing}, lines(schema(), record(1, name=None)))
    done = load({**config, **failing}, lines(schema(), record(1, name="same")))
    assert done.summary["unchanged"] == 1
    done = replay({**config, **fixed}, refused)
    assert (names(project), done.summary["superseded"]) == ({"crm-1": "SAME"}, 1)


def test_a_replayed_deletion_spares_a_customer_that_came_back(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    """The deletion was refused without a readable key."""
    config |= {"max_delete_percent": 100}
    load(config, lines(schema(DELETED), record(1)))
    failing = {"__filter__": "name.upper() != 'X'"}
    load(
        {**config, "stream_maps": {"customers": failing}},
        lines(schema(DELETED), record(1, name=None, **GONE)),
    )
    load(config, lines(schema(DELETED), record(1, name="back")))
    done = replay(config, refused)
    assert (names(project), done.summary["superseded"]) == ({"crm-1": "back"}, 1)


def test_a_deletion_is_not_replayed_without_a_ledger(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    config |= {"max_delete_percent": 100, "ledger_path": None}
    load(config, lines(schema(DELETED), record(1)))
    project.faults.add(Fault(kind="status", status=400, method="DELETE", times=1))
    load(config, lines(schema(DELETED), record(1, **GONE)))
    load(config, lines(schema(DELETED), record(1)))
    done = replay(config, refused)
    assert (done.error, held(project)) == (None, {"crm-1"})
    assert "without ledger_path nothing says" in done.log
    assert "_sdc_deleted_at" in refused.read_text()


def test_a_deletion_that_is_ignored_is_newer(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    config |= {"on_delete": "ignore"}
    load(config, lines(schema(DELETED), wrong(1, "old")))
    load(config, lines(schema(DELETED), record(1, **GONE)))
    done = replay(config, refused)
    assert (held(project), done.summary["superseded"]) == (set(), 1)


@pytest.mark.parametrize("first", ["none", "lost"])
def test_what_was_refused_before_the_ledger_began_stays_in_the_file(
    project: Sandbox, config: dict[str, Any], refused: Path, tmp_path: Path, first: str
) -> None:
    load({**config, "ledger_path": None} if first == "none" else config, lines(wrong_schema()))
    (tmp_path / "ledger.db").unlink(missing_ok=True)
    load(config, lines(schema(), record(1, name="new")))
    before = [line for line in refused.read_text().splitlines() if "RECORD" in line]
    done = replay(config, refused)
    assert (done.error, names(project)) == (None, {"crm-1": "new"})
    assert "refused before the ledger began" in done.log
    kept = [line for line in refused.read_text().splitlines() if "RECORD" in line]
    assert [at(line) for line in kept] == [at(line) for line in before]


def wrong_schema() -> str:
    return lines(schema(), wrong(1, "old"))


def at(line: str) -> str:
    return line.partition('"_refused_at":')[2].partition(",")[0]


def test_a_clock_that_was_ahead_outranks_no_later_record(
    project: Sandbox, config: dict[str, Any], refused: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(config, lines(schema(), wrong(1, "first")))
    ahead = time.time() + 7200
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: ahead)
        load(config, lines(schema(), record(1, name="second")))
    load(config, lines(schema(), wrong(1, "third")))
    done = replay(config, refused)
    assert (names(project), done.summary["superseded"]) == ({"crm-1": "third"}, 1)


def test_a_time_in_the_future_outranks_no_later_record(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    load(config, lines(schema(), wrong(1, "first")))
    refused.write_text(moved(refused.read_text(), 24))
    replay(config, refused)
    load(config, lines(schema(), wrong(1, "second")))
    done = replay(config, refused)
    assert (names(project), done.summary["superseded"]) == ({"crm-1": "second"}, 0)


def test_a_key_that_is_not_unicode_is_refused_and_the_rest_goes_on(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    broken = '{"type":"RECORD","stream":"customers","record":{"source_id":"x\\ud800"}}\n'
    text = lines(schema(DELETED), record(1), broken, record(2), state({"n": 3}))
    for _ in range(2):
        done = load(config, text)
        assert (done.error, done.states[-1]) == (None, {"n": 3})
        assert done.summary["refused"] == 1
    gone = broken.replace('d800"', 'd800","_sdc_deleted_at":"2026"')
    for on_delete in ("ignore", "delete"):
        done = load({**config, "on_delete": on_delete}, lines(schema(DELETED), gone, state(4)))
        assert (done.error, done.states) == (None, [4])
    assert held(project) == {"crm-1", "crm-2"}
    assert refused.read_text().count("ud800") == 3


def test_a_refused_deletion_is_replayed_within_the_limit_of_all_customers(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    load(config, lines(schema(DELETED), *(record(n) for n in range(200))))
    project.faults.add(Fault(kind="status", status=400, method="DELETE", times=1))
    given = [record(n) for n in range(199)]
    done = load(config, lines(schema(DELETED), *given, record(199, **GONE)))
    assert (done.error, done.summary["refused"]) == (None, 1)
    done = replay(config, refused)
    assert (done.error, done.summary["deleted"]) == (None, 1)
    assert "crm-199" not in held(project)


def test_replayed_deletions_are_limited_by_the_customers_of_the_ledger(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    """A stream map refused them, so no limit has counted them."""
    load(config, lines(schema(DELETED), *(record(n) for n in range(200))))
    failing = {"stream_maps": {"customers": {"__filter__": "name.upper()"}}}
    gone = [record(n, name=None, **GONE) for n in range(3)]
    load({**config, **failing}, lines(schema(DELETED), *gone))
    done = replay(config, refused)
    assert "3 customers are to be deleted" in str(done.error)
    assert "of the 200 customers of the ledger" in str(done.error)
    assert len(held(project)) == 200


def test_repeated_records_do_not_raise_the_limit(project: Sandbox, config: dict[str, Any]) -> None:
    load(config, lines(schema(DELETED), record(1), record(2)))
    repeated = [record(1) for _ in range(200)]
    for ledger in (config["ledger_path"], None):
        given = lines(schema(DELETED), *repeated, record(2, **GONE))
        done = load({**config, "ledger_path": ledger}, given)
        assert "more than max_delete_percent (1) of the 2 customers" in str(done.error)
    assert held(project) == {"crm-1", "crm-2"}
