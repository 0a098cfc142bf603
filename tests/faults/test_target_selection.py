"""What marks a deletion, and stream maps that select nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from singer_input import PROPERTIES, TEXT, lines, record, schema, state
from target_run import held, load, settings
from target_voucherify.target import TargetVoucherify
from target_voucherify.voucherify_client.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

DELETED = {**PROPERTIES, "_sdc_deleted_at": {"type": ["null", "string", "boolean"]}}
AT = "2026-01-01T00:00:00Z"


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(
        project,
        on_delete="delete",
        max_delete_percent=100,
        refused_records_path=str(tmp_path / "refused.singer"),
    )


NO_MARKS = ["", "  ", False, None, "false", "f", "no", 0, "0", [None], {"at": None}]
"""Besides those of CSV files, data frames and MySQL."""


@pytest.mark.parametrize("mark", [*NO_MARKS, "NULL", "NaT", "-infinity", "0000-00-00 00:00:00"])
@pytest.mark.parametrize("on_delete", ["ignore", "delete"])
def test_a_blank_mark_deletes_nobody(
    project: Sandbox, config: dict[str, Any], mark: object, on_delete: str
) -> None:
    given = lines(schema(DELETED), record(1), record(1, name="After", _sdc_deleted_at=mark))
    done = load({**config, "on_delete": on_delete}, given)
    assert (done.error, done.summary["deletes_ignored"]) == (None, 0)
    assert project.project.customer_by_source_id("crm-1")["name"] == "After"


@pytest.mark.parametrize("mark", ["NaN", "Infinity", "-Infinity", "-0.0", "0e-7"])
def test_a_number_that_is_no_time_deletes_nobody(
    project: Sandbox, config: dict[str, Any], mark: str
) -> None:
    """Data frames hold NaN where a column of times is empty, and Python prints it so."""
    marked = lines(record(1, _sdc_deleted_at="mark")).replace('"mark"', mark)
    done = load(config, lines(schema(DELETED), record(1)) + marked)
    assert (done.error, held(project)) == (None, {"crm-1"})


@pytest.mark.parametrize("mark", [AT, True, 1, "true", "T", " 1 ", 1.7e12, "2026-01-01"])
def test_any_other_mark_deletes(project: Sandbox, config: dict[str, Any], mark: object) -> None:
    load(config, lines(schema(DELETED), record(1)))
    done = load(config, lines(schema(DELETED), record(1, _sdc_deleted_at=mark)))
    assert (done.error, held(project)) == (None, set())


@pytest.mark.parametrize(
    ("rule", "mark", "is_kept"),
    [
        ("record['_sdc_deleted_at'] or None", "", True),
        ("__NULL__", AT, True),
        ("None", AT, True),
        ("'2026-01-01' if name == 'Gone' else None", None, False),
    ],
)
def test_a_stream_map_that_names_the_mark_decides(
    project: Sandbox, config: dict[str, Any], rule: str, mark: object, *, is_kept: bool
) -> None:
    load(config, lines(schema(DELETED), record(1)))
    config |= {"stream_maps": {"customers": {"_sdc_deleted_at": rule}}}
    given = record(1, name="Gone", _sdc_deleted_at=mark)
    assert load(config, lines(schema(DELETED), given)).error is None
    assert (held(project) == {"crm-1"}) is is_kept


def test_a_mark_survives_a_stream_map_that_keeps_other_columns(
    project: Sandbox, config: dict[str, Any]
) -> None:
    load(config, lines(schema(DELETED), record(1)))
    config |= {"stream_maps": {"customers": {"__else__": "__NULL__", "source_id": "source_id"}}}
    load(config, lines(schema(DELETED), record(1, _sdc_deleted_at=AT)))
    assert held(project) == set()


@pytest.mark.parametrize(
    "stream_map",
    [
        {"name": "name.upper()"},
        {"name": "name.upper()", "source_id": "'crm-' + source_id[4:]"},
        {"name": "name.upper()", "source_id": "source_id", "__else__": "__NULL__"},
        {"name": "name.upper()", "_sdc_deleted_at": "record.get('_sdc_deleted_at')"},
    ],
)
def test_of_a_deletion_only_the_key_matters(
    project: Sandbox, config: dict[str, Any], stream_map: dict[str, str]
) -> None:
    config |= {"stream_maps": {"customers": stream_map}}
    load(config, lines(schema(DELETED), record(1), record(2)))
    gone: dict[str, Any] = {"source_id": "crm-1", "_sdc_deleted_at": AT}
    deletion = {"type": "RECORD", "stream": "customers", "record": gone}
    done = load(config, lines(schema(DELETED), deletion, record(2, name=None)))
    assert (done.error, held(project)) == (None, {"crm-2"})
    assert (done.summary["deleted"], done.summary["refused"]) == (1, 1)


def test_a_deletion_whose_key_fails_is_refused(project: Sandbox, config: dict[str, Any]) -> None:
    load(config, lines(schema(DELETED), record(1)))
    config |= {"stream_maps": {"customers": {"source_id": "email.lower()"}}}
    gone = record(1, email=None, _sdc_deleted_at=AT)
    done = load(config, lines(schema(DELETED), gone))
    assert (held(project), done.summary["refused"]) == ({"crm-1"}, 1)


@pytest.mark.parametrize(
    "maps",
    [
        {"custmers": {"__filter__": "False"}},
        {"custmers": {"__alias__": "customers"}},
        {"leads": {"__source__": "custmers", "name": "name"}},
    ],
)
def test_a_stream_map_for_a_stream_that_never_comes_is_an_error(
    project: Sandbox, config: dict[str, Any], maps: dict[str, Any]
) -> None:
    load(config, lines(schema(DELETED), record(1)))
    gone = record(1, _sdc_deleted_at=AT)
    done = load({**config, "stream_maps": maps}, lines(schema(DELETED), gone, record(2)))
    assert "stream_maps names custmers, and the input has no such stream" in str(done.error)
    assert held(project) == {"crm-1", "crm-2"}
    assert not done.summary["complete"]


@pytest.mark.parametrize("maps", [{"cust*": {"name": "name"}, "x*": {}}, {"orders": None}])
def test_a_pattern_and_a_removed_stream_may_match_nothing(
    project: Sandbox, config: dict[str, Any], maps: dict[str, Any]
) -> None:
    done = load({**config, "stream_maps": maps}, lines(schema(), record(1), state(1)))
    assert (done.error, done.states, held(project)) == (None, [1], {"crm-1"})


@pytest.mark.parametrize("other", [None, "__NULL__"])
def test_an_input_of_removed_streams_is_an_error_and_passes_no_state(
    project: Sandbox, config: dict[str, Any], other: str | None
) -> None:
    maps = {"public-contcts": {"__alias__": "customers"}, "__else__": other}
    given = [schema(stream="public-contacts"), record(1, stream="public-contacts"), state(1)]
    done = load({**config, "stream_maps": maps}, lines(*given))
    assert "none of its records reaches the customers stream" in str(done.error)
    assert (done.states, held(project)) == ([], set())


def test_states_wait_for_the_customers_stream(project: Sandbox, config: dict[str, Any]) -> None:
    config |= {"stream_maps": {"orders": None}}
    orders = [schema(stream="orders"), record(1, stream="orders"), state(1)]
    done = load(config, lines(*orders, schema(), record(1), state(2)))
    assert (done.error, done.states[-1], held(project)) == (None, 2, {"crm-1"})


@pytest.mark.parametrize("given", [[], [state(5)]])
def test_an_input_without_any_stream_is_not_complete(
    project: Sandbox, config: dict[str, Any], given: list[Any]
) -> None:
    done = load(config, lines(*given))
    assert (done.error, held(project)) == (None, set())
    assert not done.summary["complete"]
    assert "The input has no stream" in done.log


@pytest.mark.parametrize(
    ("maps", "name", "nearest"),
    [
        ({"customers": {"__filtr__": "False"}}, "__filtr__", "__filter__"),
        ({"customers": {"__els__": None}}, "__els__", "__else__"),
        ({"__elze__": None}, "__elze__", "__else__"),
        ({"customers": {"__keyproperties__": []}}, "__keyproperties__", "__key_properties__"),
    ],
)
def test_an_option_that_does_not_exist_is_an_error(
    project: Sandbox, config: dict[str, Any], maps: dict[str, Any], name: str, nearest: str
) -> None:
    with pytest.raises(SettingsError, match=f"no option {name} .* the nearest is {nearest}"):
        TargetVoucherify(config={**config, "stream_maps": maps})
    assert not project.requests


def test_a_mapping_of_the_key_is_an_error(project: Sandbox, config: dict[str, Any]) -> None:
    config |= {"mapping": {"source_id": "email", "name": "name"}}
    done = load(config, lines(schema(), record(1)))
    assert "the setting source_id" in str(done.error)
    assert held(project) == set()


def test_flattening_without_a_depth_is_one_sentence(config: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="needs flattening_max_depth"):
        TargetVoucherify(config={**config, "flattening_enabled": True})


BY_ID = schema({"id": TEXT, "name": TEXT}, keys=("id",))


@pytest.mark.parametrize(
    "later",
    [
        schema({"id": TEXT, "name": TEXT}, keys=("name",)),
        schema({"id": TEXT, "name": TEXT, "source_id": TEXT}, keys=("id",)),
    ],
    ids=["another key property", "a source_id that was not there before"],
)
def test_a_stream_whose_key_changes_gives_nobody_a_second_source_id(
    project: Sandbox, config: dict[str, Any], later: dict[str, Any]
) -> None:
    contact = record(1, id="one", name="two")
    before, after = state({"seen": 1}), state({"seen": 2})
    done = load(config, lines(BY_ID, contact, before, later, contact, after))
    assert "has the customers' key in" in str(done.error)
    assert (held(project), done.states) == ({"one"}, [{"seen": 1}])
    named = {**config, "source_id": "id"}
    assert load(named, lines(BY_ID, contact, before, later, contact, after)).error is None
