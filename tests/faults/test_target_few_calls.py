"""Runs with so few calls that the next one would get no further."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import PROPERTIES, TEXT, contacts, lines, record, schema, state
from target_run import held, load, settings

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

DELETED = {**PROPERTIES, "_sdc_deleted_at": TEXT}

INPUTS: dict[str, list[Any]] = {
    "states between": contacts(12, state_every=3),
    "one state": [*contacts(12), state({"seen": 12})],
    "a state before": [state({"seen": 0}), *contacts(12), state({"seen": 12})],
    "no state": contacts(12),
    "deletions": [
        schema(DELETED),
        *(record(number) for number in range(4)),
        *(record(number, _sdc_deleted_at="2026-01-01T00:00:00Z") for number in range(4, 12)),
        state({"seen": 12}),
    ],
}


@pytest.mark.parametrize("given", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("ledger", [None, "ledger.db"])
@pytest.mark.parametrize("write_path", ["bulk", "single", "auto"])
@pytest.mark.parametrize("most", [1, 2, 3, 5, 8])
def test_a_run_moves_forward_or_says_how_many_calls_it_needs(  # noqa: PLR0913, PLR0917 - the dimensions
    project: Sandbox,
    tmp_path: Path,
    given: list[Any],
    ledger: str | None,
    write_path: str,
    most: int,
) -> None:
    """The same input comes again until a state covers a part of it."""
    path = ledger and str(tmp_path / ledger)
    config = settings(project, write_path=write_path, batch_size_rows=5, ledger_path=path)
    config |= {"on_delete": "delete", "max_delete_percent": 100}
    seen = 0
    for _ in range(40):
        before, had = seen, held(project)
        project.forget_requests()
        done = load({**config, "max_calls": most}, _after(given, seen))
        assert len(project.requests) <= most
        seen = max([seen, *(one["seen"] for one in done.states)])
        if done.error:
            enough = re.search(r"set max_calls to (\d+) or more", str(done.error))
            assert enough, done.error
            assert int(enough[1]) > most
            most = int(enough[1])
        elif done.summary["complete"]:
            break
        else:
            assert (seen, held(project)) != (before, had)
    assert done.summary["complete"]
    assert held(project) == {f"crm-{n}" for n in range(4 if given is INPUTS["deletions"] else 12)}


def _after(given: list[Any], seen: int) -> str:
    """The SCHEMA and what comes after a state."""
    covered = itertools.dropwhile(
        lambda one: seen and not (one["type"] == "STATE" and one["value"]["seen"] == seen), given
    )
    (declared,) = (one for one in given if one["type"] == "SCHEMA")
    return lines(declared, *covered)
