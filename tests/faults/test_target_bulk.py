"""Bulk writing under every reading and every fault: nothing lost, nothing acknowledged early."""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import contacts, lines, record, schema, state
from target_run import Outcome, held, load, settings
from voucherify_sandbox import Fault, Limits, Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TORTURE = bool(os.environ.get("TORTURE"))
SAMPLE = 60

READINGS: dict[str, dict[str, Any]] = {
    "as the reference guesses": {},
    "metadata replaced": {"metadata": "replace"},
    "nulls stored": {"nulls": "store"},
    "nulls refused": {"nulls": "refuse"},
    "one look": {"job_polls": 1},
    "five looks": {"job_polls": 5},
    "at most three customers": {"bulk_max_records": 3},
    "a bad row refuses the request": {"bulk_invalid_rows": "request"},
    "errors are not listed": {"errors_listed": 0},
    "one error is listed": {"errors_listed": 1},
    "a result while it runs": {"running_result": "partial"},
    "nulls and unknown fields": {"null_fields": "missing", "unknown_fields": True},
}
FAULTS = (
    "status",
    "limit_retry_after",
    "limit_rate_limit_retry",
    "limit_silent",
    "limit_cycle",
    "server_error",
    "bad_gateway",
    "unavailable_seconds",
    "html",
    "empty",
    "redirect",
    "reset",
    "cut_before",
    "cut_after",
    "cut_body",
    "truncated_json",
    "short_length",
    "gzip",
    "huge_body",
    "deep_json",
    "job_fails",
    "job_stops",
    "job_miscounts",
    "job_loses",
    "job_denies",
    "job_refuses",
    "job_vanishes",
)
REQUESTS = range(1, 9)
MATRIX = list(itertools.product(READINGS, FAULTS, REQUESTS))
CHOSEN = MATRIX if TORTURE else random.Random(5).sample(MATRIX, SAMPLE)

COUNT, REFUSED = 12, {5, 6}


def messages() -> list[dict[str, Any]]:
    """Twelve contacts, two of whom only Voucherify can refuse, and a STATE after every second."""
    found = contacts(COUNT, state_every=2)
    for message in found:
        number = int(message.get("record", {}).get("source_id", "crm--1").removeprefix("crm-"))
        if number >= 0:
            photo = "https://example.com/no-picture" if number in REFUSED else None
            message["record"]["metadata"] = {"number": number, "photo": photo}
    return found


def refused_in(path: Path) -> set[str]:
    if not path.exists():
        return set()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return {m["record"]["source_id"] for m in found if m["type"] == "RECORD"}


def assert_true(states: list[dict[str, Any]], sandbox: Sandbox, refused: set[str]) -> None:
    """Every contact before the last state is in the project or in the file of refusals."""
    seen = [value["seen"] for value in states]
    assert seen == sorted(set(seen))
    speaks_for = {f"crm-{number}" for number in range(max(seen, default=0))}
    assert speaks_for <= held(sandbox) | refused


def resume(done: Outcome) -> str:
    """What a tap sends after the last state that a run passed on."""
    after = done.states[-1]["seen"] if done.states else 0
    rest = messages()[1:]
    start = rest.index(state({"seen": after})) + 1 if after else 0
    return lines(schema(), *rest[start:])


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage is collected: at the depth at which `deep_json` ends, finalizers fail as well."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("reading", "fault", "number"),
    CHOSEN,
    ids=[f"{reading}, {fault} at request {number}" for reading, fault, number in CHOSEN],
)
def test_nothing_is_lost(
    project: Sandbox, tmp_path: Path, reading: str, fault: str, number: int
) -> None:
    project.readings.change(**READINGS[reading])
    seconds = 0.05 if "limit" in fault else 1
    project.faults.add(Fault(kind=fault, numbers=[number], seconds=seconds, size=200_000))  # type: ignore[arg-type]
    path = tmp_path / "refused.singer"
    rows = 12 if reading == "five looks" else 4
    config = settings(project, batch_size_rows=rows, refused_records_path=str(path))
    done = load(config, lines(*messages()))
    refused = refused_in(path)
    assert_true(done.states, project, refused)
    assert done.accounted + done.summary["unconfirmed"] == done.summary["received"]
    assert "example.com" not in done.log
    if done.error is None:
        assert done.summary["unconfirmed"] == 0
        assert done.states[-1] == {"seen": COUNT}
    elif done.states[-1:] != [{"seen": COUNT}]:
        project.faults.clear()
        again = load(config, resume(done))
        assert again.error is None
        assert again.states[-1] == {"seen": COUNT}
    refused = refused_in(path)
    assert {"crm-5", "crm-6"} <= refused
    assert held(project) | refused == {f"crm-{n}" for n in range(COUNT)}
    for number_ in set(range(COUNT)) - REFUSED:
        customer = project.project.customer_by_source_id(f"crm-{number_}")
        if f"crm-{number_}" not in refused:
            assert customer["metadata"]["number"] == number_


def posts(sandbox: Sandbox) -> list[int]:
    """Statuses of the bulk requests, in order."""
    return [request.status for request in sandbox.requests if request.path.endswith("/bulk/async")]


@pytest.mark.parametrize("kind", ["job_fails", "job_stops", "job_denies", "job_vanishes"])
def test_a_job_that_fails_is_sent_again_three_times_at_most(project: Sandbox, kind: str) -> None:
    project.faults.add(Fault(kind=kind, method="POST", times=None))  # type: ignore[arg-type]
    done = load(settings(project), lines(*contacts(4, state_every=2)))
    assert "after 3 attempts" in str(done.error)
    assert done.states == []
    assert len(posts(project)) == 3


def test_a_job_that_hangs_fails_the_run_in_time(project: Sandbox) -> None:
    project.faults.add(Fault(kind="job_hangs", method="POST"))
    done = load(settings(project, async_timeout=0.4), lines(*contacts(4, state_every=2)))
    assert "async_timeout" in str(done.error)
    assert done.states == []


def test_jobs_before_the_one_that_hangs_are_acknowledged(project: Sandbox) -> None:
    project.faults.add(Fault(kind="job_hangs", method="POST", nth=[2]))
    config = settings(project, async_timeout=0.4, batch_size_rows=4)
    done = load(config, lines(*contacts(12, state_every=2)))
    assert done.states == [{"seen": 4}]


@pytest.mark.parametrize("listed", [0, 1, 3])
def test_refused_rows_are_found_however_few_errors_are_listed(
    project: Sandbox, tmp_path: Path, listed: int
) -> None:
    project.readings.change(errors_listed=listed)
    bad = {3, 17, 18, 40}
    given = [
        record(n, metadata={"photo": "https://x/no" if n in bad else "https://x/y.png"})
        for n in range(50)
    ]
    path = tmp_path / "refused.singer"
    config = settings(project, refused_records_path=str(path))
    done = load(config, lines(schema(), *given, state({"seen": 50})))
    assert done.error is None
    assert refused_in(path) == {f"crm-{n}" for n in bad}
    assert held(project) == {f"crm-{n}" for n in range(50) if n not in bad}
    assert done.states == [{"seen": 50}]


def test_rows_that_are_all_refused_without_a_name_need_no_search(
    project: Sandbox, tmp_path: Path
) -> None:
    project.readings.change(errors_listed=0)
    given = [record(n, metadata={"photo": "https://x/no"}) for n in range(20)]
    path = tmp_path / "refused.singer"
    done = load(settings(project, refused_records_path=str(path)), lines(schema(), *given))
    assert done.summary["refused"] == 20
    assert len(posts(project)) == 1


def test_a_poison_row_is_found_by_halving(project: Sandbox, tmp_path: Path) -> None:
    project.readings.change(bulk_invalid_rows="request")
    given = [
        record(n, metadata={"photo": "https://x/no" if n == 77 else "https://x/y.png"})
        for n in range(100)
    ]
    path = tmp_path / "refused.singer"
    config = settings(project, refused_records_path=str(path), batch_size_rows=100)
    done = load(config, lines(schema(), *given, state({"seen": 100})))
    assert refused_in(path) == {"crm-77"}
    assert len(held(project)) == 99
    assert done.states == [{"seen": 100}]
    assert len(posts(project)) <= 15


def test_a_limit_on_customers_is_learned_once(project: Sandbox) -> None:
    project.readings.change(bulk_max_records=100)
    done = load(settings(project, batch_size_rows=1000), lines(*contacts(3000, state_every=1000)))
    assert done.error is None
    assert len(held(project)) == 3000
    assert posts(project).count(400) <= 5
    assert len(posts(project)) <= 45
    assert done.states[-1] == {"seen": 3000}


def test_a_limit_that_no_batch_meets_costs_nothing(project: Sandbox) -> None:
    project.readings.change(bulk_max_records=100)
    load(settings(project, batch_size_rows=100), lines(*contacts(300)))
    assert posts(project) == [202, 202, 202]


def test_the_last_one_wins_and_duplicates_are_counted(project: Sandbox) -> None:
    given = [record(1), record(2), record(1, name="newer"), record(1, name="newest")]
    done = load(settings(project), lines(schema(), *given, state({"seen": 4})))
    assert project.project.customer_by_source_id("crm-1")["name"] == "newest"
    assert (done.summary["accepted"], done.summary["duplicates"]) == (2, 2)


def test_of_a_key_the_newest_valid_record_is_sent(project: Sandbox, tmp_path: Path) -> None:
    given = [record(1, name="good"), record(1, name=["bad"])]
    config = settings(project, refused_records_path=str(tmp_path / "refused.singer"))
    done = load(config, lines(schema(), *given, state({"seen": 2})))
    assert project.project.customer_by_source_id("crm-1")["name"] == "good"
    assert (done.summary["accepted"], done.summary["refused"]) == (1, 1)


@pytest.mark.parametrize("fault", ["job_fails", "job_stops", "job_loses", "cut_after", None])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_across_batches_the_newest_record_wins_whatever_is_sent_again(
    project: Sandbox, fault: str | None, nth: int
) -> None:
    if fault:
        project.faults.add(Fault(kind=fault, method="POST", nth=[nth]))  # type: ignore[arg-type]
    given = [record(n % 5, name=f"version {n}") for n in range(20)]
    done = load(settings(project, batch_size_rows=3), lines(schema(), *given, state({"seen": 20})))
    assert done.error is None
    assert done.states == [{"seen": 20}]
    names = {project.project.customer_by_source_id(f"crm-{n}")["name"] for n in range(5)}
    assert names == {f"version {n}" for n in range(15, 20)}


def test_a_hundred_thousand_customers_cost_sixty_calls_at_most(project: Sandbox) -> None:
    project.readings.change(job_polls=1)
    count = 100_000 if TORTURE else 20_000
    done = load(settings(project), lines(*contacts(count, state_every=1000)))
    assert done.states[-1] == {"seen": count}
    assert len(held(project)) == count
    assert len(project.requests) <= 60 * count / 100_000


def test_bulk_calls_wait_as_told_and_jobs_are_still_confirmed() -> None:
    with Sandbox(limits=Limits(bulk_calls=2, bulk_period_seconds=1.5)) as small:
        done = load(settings(small, batch_size_rows=5), lines(*contacts(25, state_every=5)))
        assert done.error is None
        assert len(held(small)) == 25
        assert done.summary["seconds_waited"] > 2
        assert 429 in posts(small)


def test_a_used_up_cycle_stops_with_what_is_confirmed() -> None:
    with Sandbox(limits=Limits(cycle_calls=4), readings=Readings(job_polls=0)) as small:
        config = settings(small, batch_size_rows=5)
        done = load(config, lines(*contacts(100, state_every=5)))
        assert "billing cycle" in str(done.error)
        assert_true(done.states, small, set())


@pytest.mark.parametrize("most", [5, 6, 9, 12, 20, 40])
def test_max_calls_is_never_exceeded_and_ends_well(project: Sandbox, most: int) -> None:
    config = settings(project, batch_size_rows=5, max_calls=most)
    text = lines(*contacts(60, state_every=5))
    done = load(config, text)
    assert done.error is None
    assert len(project.requests) <= most
    assert_true(done.states, project, set())
    # Whatever was sent was also confirmed: calls for that are kept back.
    assert done.summary["accepted"] == len(held(project))
    assert done.summary["complete"] is (len(held(project)) == 60)


def test_without_a_file_everything_else_is_written_and_no_state_speaks_for_a_refusal(
    project: Sandbox,
) -> None:
    done = load(settings(project, batch_size_rows=4), lines(*messages()))
    assert "2 of 12 records were refused" in str(done.error)
    assert done.states == [{"seen": 4}]
    assert held(project) == {f"crm-{n}" for n in range(COUNT) if n not in REFUSED}


def test_a_refusal_before_sending_holds_later_states_too(project: Sandbox) -> None:
    given = contacts(12, state_every=2)
    given.insert(6, record("", source_id=""))
    done = load(settings(project, batch_size_rows=2), lines(*given))
    assert done.error is not None
    assert done.states[-1] == {"seen": 2}
    assert len(held(project)) == 12


def test_too_many_refusals_fail_the_run_in_spite_of_a_file(
    project: Sandbox, tmp_path: Path
) -> None:
    given = contacts(1000, state_every=50)
    for n in range(300, 400):
        given.insert(500, record(f"bad{n}", name=[]))
    config = settings(
        project,
        refused_records_path=str(tmp_path / "refused.singer"),
        max_refused_percent=5,
        batch_size_rows=10,
    )
    done = load(config, lines(*given))
    assert "max_refused_percent" in str(done.error)
    assert done.states
    assert done.states[-1]["seen"] <= 500
    assert done.summary["received"] < 600


def test_a_few_refusals_are_judged_at_the_end(project: Sandbox, tmp_path: Path) -> None:
    given = contacts(10, state_every=5)
    given.insert(1, record("bad", name=[]))
    config = settings(
        project, refused_records_path=str(tmp_path / "refused.singer"), max_refused_percent=5
    )
    done = load(config, lines(*given))
    assert "max_refused_percent" in str(done.error)
    assert done.states == []
    assert len(held(project)) == 10


def test_refused_records_can_be_replayed(project: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "refused.singer"
    config = settings(project, refused_records_path=str(path))
    load(config, lines(*messages()))
    assert refused_in(path) == {"crm-5", "crm-6"}
    first = path.read_text()
    definition = {"photo": {"type": "string", "optional": True}}
    project.project.define_metadata("customer", definition, allow_defined_only=False)
    again = load(config, first)
    assert again.error is None
    assert len(held(project)) == COUNT
    customer = project.project.customer_by_source_id("crm-5")
    assert customer["name"] == "Contact 5"
    assert "_refused_reason" not in json.dumps(customer)
    assert path.read_text() == first


def test_log_lines_name_records_by_hash_only(project: Sandbox, tmp_path: Path) -> None:
    given = [
        record(n, source_id=f"ann{n}@example.com", metadata={"photo": "https://secret.example/no"})
        for n in range(3)
    ]
    config = settings(project, refused_records_path=str(tmp_path / "refused.singer"))
    done = load(config, lines(schema(), *given))
    assert done.log.count("Refused record") == 3
    assert "metadata_validation_failed" in done.log
    for personal in ("example.com", "secret.example", "Contact"):
        assert personal not in done.log


def test_a_refusal_fails_a_run_that_max_calls_ends(project: Sandbox) -> None:
    given = contacts(60, state_every=5)
    given.insert(1, record("bad", name=[]))
    done = load(settings(project, batch_size_rows=5, max_calls=12), lines(*given))
    assert "records were refused" in str(done.error)
    assert done.states == []


def test_bad_input_fails_a_run_that_max_calls_ends(project: Sandbox) -> None:
    config = settings(project, batch_size_rows=50, max_calls=2)
    done = load(config, lines(*contacts(10, state_every=5), "not json\n"))
    assert "Message 14 of the input" in str(done.error)
    assert done.states == []
