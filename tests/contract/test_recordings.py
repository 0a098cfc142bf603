"""A recording of `certify` says what the sandbox has to answer with the readings of that project.

Each file of `tests/data/readings` holds the readings of one project. Beside it may lie the
recording that came with it, as `NAME.jsonl`; without one, a sandbox with these readings is
recorded.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certification import certify
from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.certify.recording import recorded
from voucherify_sandbox.readings import from_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from voucherify_sandbox.certify.exchange import Json

PROJECTS = sorted((Path(__file__).parents[1] / "data" / "readings").glob("*.json"))
PORT = re.compile(r"^http://[^/]*")
Shapes = dict[str, set[str]]


def shape(value: Any, rows: set[str]) -> Any:
    """The names of members and the types of values.

    What a list holds is added to `rows`: how many of them a lagging list shows is a matter of time.
    """
    if isinstance(value, dict):
        return {name: shape(part, rows) for name, part in sorted(value.items())}
    if isinstance(value, list):
        rows.update(json.dumps(shape(part, rows)) for part in value)
        return "list"
    return "number" if type(value) in {int, float} else type(value).__name__


def shapes(recording: Iterable[Json]) -> Shapes:
    """The shapes of the responses by what was requested, and those of rows of lists."""
    found: Shapes = {"rows": set()}
    for one in recording:
        request, response = one["request"], one["response"]
        path = PORT.sub("", request["path"])  # of a download
        body = shape(request["body"], set())
        asked = {**request, "path": path, "query": sorted(request["query"]), "body": body}
        said = {**(response or {}), "headers": None}
        shown = {**shape(said, found["rows"]), "status": said.get("status")}
        found.setdefault(json.dumps(asked), set()).add(json.dumps(shown))
    return found


def probed(readings: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], list[Json]]:
    """The readings that a probe of a sandbox finds, and its recording."""
    folder.mkdir()
    with Sandbox(readings=Readings(**readings)) as sandbox:
        probe = certify(sandbox, folder).probe
    return probe.findings.readings(), list(recorded(probe.notes))


def recording_of(project: Path, folder: Path) -> tuple[dict[str, Any], list[Json]]:
    """The readings of a project and its recording."""
    lines = project.with_suffix(".jsonl")
    if lines.exists():
        return from_file(project), [json.loads(line) for line in lines.read_text().splitlines()]
    return probed(from_file(project), folder)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.stem)
def test_the_sandbox_answers_a_recording_in_the_same_shapes(project: Path, tmp_path: Path) -> None:
    readings, recording = recording_of(project, tmp_path / "recorded")
    _, again = probed(readings, tmp_path / "again")

    assert shapes(again) == shapes(recording)


def test_another_answer_would_be_noticed(tmp_path: Path) -> None:
    readings, recording = recording_of(PROJECTS[0], tmp_path / "recorded")
    _, again = probed({**readings, "missing_updated_at": "null"}, tmp_path / "again")

    assert shapes(again) != shapes(recording)
