"""Who is missing from a stream that was sent whole, and who only seems to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from singer_input import lines, record, schema, state
from target_run import Outcome, held, load, settings
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

Message = dict[str, Any]


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(
        project,
        on_delete="permanent_delete",
        max_delete_percent=100,
        ledger_path=str(tmp_path / "ledger.db"),
    )


def activate(version: int, stream: str = "customers") -> Message:
    return {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}


def records(numbers: range, version: int | None, stream: str = "customers") -> list[Message]:
    carried = {} if version is None else {"version": version}
    return [{**record(number, stream=stream), **carried} for number in numbers]


def whole(numbers: range, version: int, stream: str = "customers") -> list[Message]:
    """A stream sent whole, its ACTIVATE_VERSION at the end."""
    return [
        schema(stream=stream),
        *records(numbers, version, stream),
        activate(version, stream),
        state({"version": version}),
    ]


def keys(numbers: range) -> set[str]:
    return {f"crm-{number}" for number in numbers}


def test_who_is_missing_from_a_whole_stream_is_deleted(
    project: Sandbox, config: dict[str, Any]
) -> None:
    load(config, lines(*whole(range(20), 1)))
    done = load(config, lines(*whole(range(18), 2)))
    assert (done.error, done.summary["deleted_unseen"]) == (None, 2)
    assert held(project) == keys(range(18))


def test_another_streams_version_deletes_nobody(project: Sandbox, config: dict[str, Any]) -> None:
    config |= {"stream_maps": {"orders": None}}
    orders = [schema(stream="orders"), *records(range(3), 2, "orders"), activate(2, "orders")]
    load(config, lines(*whole(range(20), 1)))
    changes = [schema(), *records(range(2), None)]
    done = load(config, lines(*changes, *orders, state({"run": 2})))
    assert (done.error, done.states) == (None, [{"run": 2}])
    assert held(project) == keys(range(20))


@pytest.mark.parametrize("sent", [0, 1, 19])
def test_a_tap_that_activates_first_and_dies_deletes_nobody(
    project: Sandbox, config: dict[str, Any], sent: int
) -> None:
    load(config, lines(*whole(range(20), 1)))
    done = load(config, lines(schema(), activate(2), *records(range(sent), 2)))
    assert done.error is None
    assert held(project) == keys(range(20))
    assert "have the tap mark deletions" in done.log


def test_a_tap_that_activates_first_and_again_at_the_end_sends_a_whole_stream(
    project: Sandbox, config: dict[str, Any]
) -> None:
    load(config, lines(*whole(range(20), 1)))
    done = load(config, lines(schema(), activate(2), *whole(range(15), 2)[1:]))
    assert held(project) == keys(range(15))
    assert "have the tap mark deletions" not in done.log


@pytest.mark.parametrize(
    "messages",
    [
        [*records(range(10), 2), activate(2), *records(range(10, 12), 2)],
        [*records(range(10), 2), *records(range(10, 12), 3), activate(3)],
        [*records(range(10), 2), *records(range(10, 12), 3), activate(2)],
        [*records(range(10), None), activate(2)],
        [*records(range(10), 1), activate(2)],
        [activate(2)],
        [*records(range(10), 2), {"type": "RECORD", "stream": "customers", "record": {}}],
        [
            *records(range(10), 2),
            {**record(1, source_id=None), "version": 2},
            activate(2),
        ],
        [*records(range(10), 2), activate(2), "{"],
    ],
    ids=[
        "records after it",
        "two versions, the later activated",
        "two versions, the earlier activated",
        "records without a version",
        "records of the version before",
        "no records",
        "never activated",
        "a record without a key",
        "input that is cut off",
    ],
)
def test_a_stream_that_may_not_be_whole_deletes_nobody(
    project: Sandbox, config: dict[str, Any], tmp_path: Path, messages: list[Any]
) -> None:
    config |= {"refused_records_path": str(tmp_path / "refused.singer"), "max_refused_percent": 50}
    load(config, lines(*whole(range(20), 1)))
    load(config, lines(schema(), *messages))
    assert held(project) == keys(range(20))


def test_states_pass_while_a_stream_that_activates_first_is_read(config: dict[str, Any]) -> None:
    config |= {"batch_size_rows": 5}
    text = [activate(2), *records(range(10), 2), state({"half": 1}), *records(range(10, 15), 2)]
    done = load(config, lines(schema(), *text, record("bad", name=[]), state({"all": 1})))
    assert done.states == [{"half": 1}]


def test_an_activate_version_without_a_version_is_an_error(
    project: Sandbox, config: dict[str, Any]
) -> None:
    broken = {"type": "ACTIVATE_VERSION", "stream": "customers"}
    done = load(config, lines(*whole(range(20), 1)[:-2], broken))
    assert "ACTIVATE_VERSION needs a stream and a version" in str(done.error)
    assert held(project) == keys(range(20))


def test_a_ledger_of_another_pipeline_is_refused(project: Sandbox, config: dict[str, Any]) -> None:
    def sent(numbers: range, version: int, stream: str) -> Outcome:
        maps = {"stream_maps": {stream: {"__alias__": "customers"}}}
        return load({**config, **maps}, lines(*whole(numbers, version, stream)))

    assert sent(range(8), 1, "crm_a-contacts").error is None
    done = sent(range(8, 16), 2, "crm_b-contacts")
    assert "crm_a-contacts by source_id" in str(done.error)
    assert "Name another file" in str(done.error)
    assert (held(project), done.states) == (keys(range(8)), [])


def test_a_ledger_of_another_key_is_refused(config: dict[str, Any]) -> None:
    load(config, lines(*whole(range(8), 1)))
    done = load({**config, "source_id": "email"}, lines(*whole(range(8), 2)))
    assert "this run brings customers by email" in str(done.error)


def test_two_streams_of_one_pipeline_are_missing_somebody_only_together(
    project: Sandbox, config: dict[str, Any]
) -> None:
    maps = {name: {"__alias__": "customers"} for name in ("leads", "contacts")}
    config |= {"stream_maps": maps}

    def both(leads: range, contacts: range, version: int) -> str:
        return lines(*whole(leads, version, "leads"), *whole(contacts, version, "contacts"))

    load(config, both(range(12), range(12, 16), 1))
    alone = load(config, lines(schema(stream="contacts"), *whole(range(11), 2, "leads")))
    assert alone.error is None
    assert held(project) == keys(range(16))
    done = load(config, both(range(11), range(12, 15), 3))
    assert (done.error, done.summary["deleted_unseen"]) == (None, 2)
    assert held(project) == keys(range(11)) | keys(range(12, 15))


def test_who_is_filtered_out_is_not_missing(project: Sandbox, config: dict[str, Any]) -> None:
    load(config, lines(*whole(range(20), 1)))
    maps = {"customers": {"__filter__": "source_id != 'crm-3'"}}
    done = load({**config, "stream_maps": maps}, lines(*whole(range(19), 2)))
    assert (done.error, done.summary["removed_by_stream_map"]) == (None, 1)
    assert held(project) == keys(range(19))


def test_who_is_filtered_out_is_known_by_the_key_that_a_map_makes(
    project: Sandbox, config: dict[str, Any]
) -> None:
    made = {"source_id": "'made-' + source_id"}
    config |= {"stream_maps": {"customers": made}}
    load(config, lines(*whole(range(20), 1)))
    filtered = {**made, "__filter__": "source_id != 'crm-3'"}
    load({**config, "stream_maps": {"customers": filtered}}, lines(*whole(range(19), 2)))
    assert held(project) == {f"made-{key}" for key in keys(range(19))}


def test_records_that_a_map_removes_do_not_raise_the_limit_of_deletions(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config |= {"max_delete_percent": 20, "stream_maps": {"orders": None}}
    load(config, lines(*whole(range(20), 1)))
    orders = [schema(stream="orders"), *records(range(100), None, "orders")]
    done = load(config, lines(*orders, *whole(range(10), 2)))
    assert "max_delete_percent" in str(done.error)
    assert held(project) == keys(range(20))


def test_who_is_marked_and_missing_is_deleted_once(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config |= {"max_delete_percent": 11}
    load(config, lines(*whole(range(20), 1)))
    marked = {**record(19, _sdc_deleted_at="2026-01-01T00:00:00Z"), "version": 2}
    messages = [schema(), *records(range(18), 2), marked, activate(2)]
    done = load(config, lines(*messages))
    assert (done.error, done.summary["deleted"], done.summary["deleted_unseen"]) == (None, 1, 1)
    sent = [request for request in project.requests if request.path.endswith("deletion")]
    assert len(sent) == 2


@pytest.mark.parametrize("write_path", ["bulk", "single"])
def test_two_streams_of_one_name_keep_their_own_columns(
    project: Sandbox, config: dict[str, Any], write_path: str
) -> None:
    maps = {name: {"__alias__": "customers"} for name in ("leads", "contacts")}
    properties = {"source_id": {"type": "string"}, "email": {"type": "string"}}
    done = load(
        {**config, "stream_maps": maps, "write_path": write_path},
        lines(
            schema(stream="leads"),
            schema(properties, stream="contacts"),
            record(1, stream="leads"),
            record(2, stream="contacts"),
        ),
    )
    assert done.error is None
    assert project.project.customer_by_source_id("crm-1")["name"] == "Contact 1"
    assert project.project.customer_by_source_id("crm-2").get("name") is None


@pytest.mark.parametrize("ended_by", ["max_calls", "401", "refused_update"])
def test_deletions_that_a_run_did_not_come_to_are_made_by_the_next(
    project: Sandbox, config: dict[str, Any], tmp_path: Path, ended_by: str
) -> None:
    refused = str(tmp_path / "refused.singer")
    config |= {"write_path": "single", "max_delete_percent": 100, "refused_records_path": refused}
    load(config, lines(*whole(range(40), 1)))
    if ended_by == "max_calls":
        load({**config, "max_calls": 8}, lines(*whole(range(25), 2)))
    elif ended_by == "401":
        unauthorized = Fault(kind="status", status=401, method="POST", nth=range(9, 99), times=None)
        project.faults.add(unauthorized)
        load(config, lines(*whole(range(25), 2)))
        project.faults.clear()
    else:
        project.faults.add(Fault(kind="status", status=400, method="POST"))
        changed = whole(range(40), 2)
        changed[40]["record"]["name"] = "Changed"
        load(config, lines(*changed))
    assert len(held(project)) > 25
    done = load(config, lines(*whole(range(25), 3)))
    assert (done.error, held(project)) == (None, keys(range(25)))


def test_a_version_that_an_earlier_run_began_is_only_the_rest(
    project: Sandbox, config: dict[str, Any]
) -> None:
    """A tap that died in the middle of a full table goes on under the same version."""
    load(config, lines(*whole(range(20), 1)))
    load(config, lines(schema(), *records(range(5), 2), state({"row": 5})))
    done = load(config, lines(schema(), *records(range(5, 20), 2), activate(2)))
    assert done.error is None
    assert held(project) == keys(range(20))
    load(config, lines(*whole(range(18), 3)))
    assert held(project) == keys(range(18))


def test_a_version_of_old_that_comes_back_is_not_new(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config |= {"max_delete_percent": 100}
    load(config, lines(*whole(range(20), 1)))
    load(config, lines(*whole(range(20), 2)))
    done = load(config, lines(schema(), *records(range(3), 1), activate(1)))
    assert done.error is None
    assert held(project) == keys(range(20))


def test_a_map_that_keeps_only_the_columns_it_names_keeps_the_mark_of_a_deletion(
    project: Sandbox, config: dict[str, Any]
) -> None:
    columns = {"source_id": "source_id", "name": "name", "__else__": None}
    config |= {"stream_maps": {"customers": columns}}
    marked = record(1, _sdc_deleted_at="2026-01-01T00:00:00Z")
    load(config, lines(*whole(range(3), 1)))
    done = load(config, lines(schema(), record(0), record(2), marked))
    assert (done.error, done.summary["deleted"]) == (None, 1)
    assert held(project) == {"crm-0", "crm-2"}


def test_a_ledger_of_keys_that_a_map_made_otherwise_is_refused(
    project: Sandbox, config: dict[str, Any]
) -> None:
    def made(expression: str) -> dict[str, Any]:
        return {**config, "stream_maps": {"customers": {"source_id": expression}}}

    load(made("source_id"), lines(*whole(range(8), 1)))
    done = load(made("source_id.upper()"), lines(*whole(range(8), 2)))
    assert "source_id = source_id.upper()" in str(done.error)
    assert held(project) == keys(range(8))


def test_a_ledger_of_keys_that_a_map_made_by_another_setting_is_refused(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config |= {"stream_maps": {"customers": {"source_id": "config['shop'] + source_id"}}}
    load({**config, "stream_map_config": {"shop": "north-"}}, lines(*whole(range(8), 1)))
    before = held(project)
    done = load({**config, "stream_map_config": {"shop": "south-"}}, lines(*whole(range(8), 2)))
    assert "belongs to another pipeline" in str(done.error)
    assert "north" not in str(done.error)
    assert held(project) == before


def test_a_version_that_a_run_without_deletions_began_is_only_the_rest(
    project: Sandbox, config: dict[str, Any]
) -> None:
    load(config, lines(*whole(range(20), 1)))
    without = {**config, "on_delete": "ignore"}
    load(without, lines(schema(), *records(range(5), 2), state({"row": 5})))
    done = load(config, lines(schema(), *records(range(5, 20), 2), activate(2)))
    assert done.error is None
    assert held(project) == keys(range(20))


MARK = "2026-01-01T00:00:00Z"


def test_a_filter_does_not_keep_who_was_deleted_before(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config |= {"stream_maps": {"customers": {"__filter__": "name != 'Hidden'"}}}
    load(config, lines(schema(), *records(range(3), None)))
    gone = record(1, _sdc_deleted_at=MARK)
    hidden = record(1, name="Hidden", _sdc_deleted_at=MARK)
    done = load(config, lines(schema(), record(0), record(2), gone, hidden, state({"seen": 4})))
    assert (done.error, done.states) == (None, [{"seen": 4}])
    assert held(project) == {"crm-0", "crm-2"}


def test_a_filter_keeps_who_came_back(project: Sandbox, config: dict[str, Any]) -> None:
    config |= {"stream_maps": {"customers": {"__filter__": "name != 'Hidden'"}}}
    load(config, lines(schema(), *records(range(3), None)))
    load(config, lines(schema(), record(1, _sdc_deleted_at=MARK), record(1, name="Hidden")))
    assert held(project) == keys(range(3))


def test_a_customer_whose_record_is_outdated_is_not_missing(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    """Refused records that were loaded into a table come back with `_refused_at`."""
    config |= {"refused_records_path": str(tmp_path / "refused.singer")}
    load(config, lines(*whole(range(3), 1)))
    load(config, lines(schema(), record(9, source_id=None), record(0)))
    outdated = {**record(0, _refused_at=MARK), "version": 2}
    done = load(config, lines(schema(), *records(range(1, 3), 2), outdated, activate(2)))
    assert (done.error, done.summary["superseded"]) == (None, 1)
    assert held(project) == keys(range(3))
