"""A replay sends no record that a newer one of the same customer has replaced."""

from __future__ import annotations

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
PATHS = ("bulk", "single")


@pytest.fixture(params=PATHS)
def config(request: pytest.FixtureRequest, project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(
        project,
        write_path=request.param,
        on_delete="delete",
        max_delete_percent=100,
        ledger_path=str(tmp_path / "ledger.db"),
        refused_records_path=str(tmp_path / "refused.singer"),
    )


def refused_by_voucherify(project: Sandbox, config: dict[str, Any], *messages: Any) -> None:
    method = "DELETE" if "_sdc_deleted_at" in messages[0]["record"] else "POST"
    project.faults.add(Fault(kind="status", status=400, method=method, times=1))
    done = load(config, lines(schema(DELETED), *messages))
    assert done.summary["refused"] == len(messages)


def replay(config: dict[str, Any], tmp_path: Path) -> Outcome:
    """Replay a copy, so that a run of the test's own process can read it."""
    text = (tmp_path / "refused.singer").read_text()
    (tmp_path / "refused.singer").unlink()
    return load(config, text)


def name(project: Sandbox) -> Any:
    customer = project.project.customer_by_source_id("crm-1")
    return customer and customer["name"]


def named(text: str) -> dict[str, Any]:
    return record(1, name=text)


def test_a_newer_record_stays(project: Sandbox, config: dict[str, Any], tmp_path: Path) -> None:
    refused_by_voucherify(project, config, named("Old"))
    load(config, lines(schema(), named("New")))
    done = replay(config, tmp_path)
    assert name(project) == "New"
    assert (done.error, done.summary["superseded"], done.summary["accepted"]) == (None, 1, 0)
    assert done.summary["unconfirmed"] == 0


def test_what_nothing_replaced_is_sent(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    load(config, lines(schema(), named("Old")))
    refused_by_voucherify(project, config, named("New"))
    done = replay(config, tmp_path)
    assert (name(project), done.summary["superseded"]) == ("New", 0)


def test_a_record_that_was_read_before_the_refused_one_does_not_replace_it(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    """The older one is confirmed after the newer one is refused, in the same run."""
    wrong = {"metadata": {"photo": "no address"}}
    load(config, lines(schema(), named("Old"), record(1, name="New", **wrong)))
    assert name(project) == "Old"
    project.project.define_metadata("customer", {}, allow_defined_only=False)
    done = replay(config, tmp_path)
    assert (name(project), done.summary["superseded"]) == ("New", 0)


def test_a_record_that_is_unchanged_again_replaces_the_refused_one(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    load(config, lines(schema(), named("Same")))
    wrong = {"metadata": {"photo": "no address"}}
    load(config, lines(schema(), record(1, name="Between", **wrong)))
    assert load(config, lines(schema(), named("Same"))).summary["unchanged"] == 1
    project.project.define_metadata("customer", {}, allow_defined_only=False)
    done = replay(config, tmp_path)
    assert (name(project), done.summary["superseded"]) == ("Same", 1)


def test_a_refused_deletion_of_a_customer_that_came_back_is_not_replayed(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    load(config, lines(schema(), named("Before")))
    refused_by_voucherify(project, config, record(1, **GONE))
    load(config, lines(schema(), named("Back")))
    done = replay(config, tmp_path)
    assert (held(project), name(project)) == ({"crm-1"}, "Back")
    assert (done.summary["superseded"], done.summary["deleted"]) == (1, 0)


def test_a_refused_record_of_a_deleted_customer_is_not_replayed(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    load(config, lines(schema(), named("Before")))
    refused_by_voucherify(project, config, named("Refused"))
    load(config, lines(schema(DELETED), record(1, **GONE)))
    done = replay(config, tmp_path)
    assert (held(project), done.summary["superseded"]) == (set(), 1)


def test_a_replay_without_a_ledger_warns(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    refused_by_voucherify(project, config, named("Old"))
    done = replay({**config, "ledger_path": None}, tmp_path)
    assert done.log.count("Without ledger_path a replayed record may replace a newer one") == 1
    assert name(project) == "Old"


def test_the_ledger_knows_a_refusal_before_a_state_covers_it(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    refused_by_voucherify(project, config, named("Old"))
    done = load(config, lines(schema(), named("New"), state({"seen": 1}), record(2, name=[])))
    assert done.states == [{"seen": 1}]
    done = load({**config, "dry_run": True}, (tmp_path / "refused.singer").read_text())
    assert (done.summary["superseded"], done.summary["refused"]) == (1, 1)


@pytest.mark.parametrize("more", [{}, {"_sdc_deleted_at": GONE["_sdc_deleted_at"]}], ids=str)
def test_a_key_that_is_no_unicode_is_refused_with_a_ledger(
    project: Sandbox, config: dict[str, Any], tmp_path: Path, more: dict[str, Any]
) -> None:
    given = [record(0), record("\ud83d", phone=None, **more), state({"seen": 2})]

    done = load(config, lines(schema(DELETED), *given))

    assert (done.error, done.states, held(project)) == (None, [{"seen": 2}], {"crm-0"})
    assert done.summary["refused"] == 1
    assert replay(config, tmp_path).summary["refused"] == 1
