"""Files of the target that somebody edited, replaced or named by mistake."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from singer import run
from singer_input import lines, record, schema, state
from target_run import held, load, settings
from target_voucherify.acknowledgement.refusal_reasons import Reason
from target_voucherify.acknowledgement.refused_file import RefusedFile

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

REASON = Reason("k", "because", "because")
LINE = b'{"type":"RECORD","stream":"customers","record":{"source_id":"%s"}}'


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    return tmp_path / "refused.singer"


@pytest.fixture
def config(project: Sandbox, refused: Path) -> dict[str, Any]:
    return settings(project, refused_records_path=str(refused))


def refuse(config: dict[str, Any], *numbers: int) -> None:
    load(config, lines(schema(), *(record(number, name=["x"]) for number in numbers)))


def keys(refused: Path) -> list[str]:
    messages = [json.loads(line) for line in refused.read_text().splitlines()]
    return [one["record"]["source_id"] for one in messages if one["type"] == "RECORD"]


def test_a_last_line_without_a_line_feed_stays(config: dict[str, Any], refused: Path) -> None:
    refuse(config, 1, 2)
    refused.write_text(refused.read_text().removesuffix("\n"))
    refuse(config, 3)
    assert keys(refused) == ["crm-1", "crm-2", "crm-3"]


def test_a_last_line_without_a_line_feed_is_replayed(
    project: Sandbox, config: dict[str, Any], refused: Path
) -> None:
    refuse(config, 1, 2)
    corrected = refused.read_text().replace('["x"]', '"x"').removesuffix("\n")
    refused.write_text(corrected)
    with refused.open() as source:
        done = run("target_voucherify", config, "--input", str(refused), stdin=source.read())
    assert done.exit_code == 0, done.log
    assert held(project) == {"crm-1", "crm-2"}


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_is_cut_short_is_kept_aside_and_said(
    config: dict[str, Any], refused: Path, cut: int
) -> None:
    refuse(config, 1, 2)
    text = refused.read_text()[: -cut - 1]
    refused.write_text(text)
    done = load(config, lines(schema(), record(3, name=["x"])))
    assert keys(refused) == ["crm-1", "crm-3"]
    aside = refused.with_name("refused.singer.torn")
    assert aside.read_text() == text.splitlines()[-1] + "\n"
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert "the last line of" in done.log


def test_a_crash_in_the_first_line_is_repaired(config: dict[str, Any], refused: Path) -> None:
    refuse(config, 1)
    refused.write_bytes(refused.read_bytes()[:40])
    refuse(config, 2)
    assert keys(refused) == ["crm-2"]


@pytest.mark.parametrize("options", [{}, {"indent": None, "sort_keys": True}])
def test_a_file_that_a_json_tool_wrote_is_recognized(
    config: dict[str, Any], refused: Path, options: dict[str, Any]
) -> None:
    refuse(config, 1)
    written = [json.dumps(json.loads(line), **options) for line in refused.read_text().splitlines()]
    refused.write_text("\n".join(written) + "\n")
    refuse(config, 2)
    assert keys(refused) == ["crm-1", "crm-2"]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "{}\n", '{"type":"STATE","value":1}\n', "[1]"])
def test_a_file_of_another_kind_is_untouched(
    config: dict[str, Any], refused: Path, text: str
) -> None:
    refused.write_text(text)
    done = load(config, lines(schema(), record(1)))
    assert "is not a refused-records file" in str(done.error)
    assert refused.read_text() == text


@pytest.mark.parametrize("kept", [True, False])
def test_a_file_that_an_editor_saves_during_a_run_gets_all_of_the_run(
    refused: Path, *, kept: bool
) -> None:
    declared = {"type": "SCHEMA", "stream": "customers", "schema": {"properties": {}}}
    file = RefusedFile(str(refused))
    file.declare(declared)
    for key in (b"a", b"b"):
        file.write(LINE % key, REASON, None, 1.0, "customers")
    file.flush()
    text = refused.read_bytes() if kept else b""
    refused.replace(refused.with_name("backup"))
    if kept:
        refused.write_bytes(text)
    file.write(LINE % b"c", REASON, None, 1.0, "customers")
    file.flush()
    assert keys(refused) == ["a", "b", "c"]
    assert stat.S_IMODE(refused.stat().st_mode) == 0o600


def test_a_pipe_or_a_device_is_refused_and_untouched(
    config: dict[str, Any], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    before = pipe.stat().st_mode
    for setting in ("refused_records_path", "ledger_path"):
        for path in (str(pipe), os.devnull):
            mode = Path(path).stat().st_mode
            done = load({**config, setting: path}, lines(schema(), record(1)))
            assert f"{setting}: {path} cannot be written (it is a pipe or a device)" in str(
                done.error
            )
            assert Path(path).stat().st_mode == mode
            assert not Path(f"{path}.lock").exists()
    assert pipe.stat().st_mode == before


def test_another_programs_database_is_untouched(config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE orders (x)")
    database.close()
    path.chmod(0o664)
    before = path.read_bytes()
    done = load({**config, "ledger_path": str(path)}, lines(schema(), record(1)))
    assert "is another program's database" in str(done.error)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (before, 0o664)


def test_one_path_for_both_files_is_an_error(config: dict[str, Any], refused: Path) -> None:
    link = refused.with_name("link")
    link.symlink_to(refused)
    for path in (refused, link):
        done = load({**config, "ledger_path": str(path)}, lines(schema(), record(1), state(1)))
        assert "Two of ledger_path" in str(done.error)
    assert not refused.exists()


def test_an_empty_ledger_path_is_none(config: dict[str, Any]) -> None:
    done = load({**config, "ledger_path": ""}, lines(schema(), record(1), state(1)))
    assert (done.error, done.states) == (None, [1])


def test_a_dry_run_takes_an_empty_ledger_for_none(config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    done = load({**config, "ledger_path": str(path), "dry_run": True}, lines(schema(), record(1)))
    assert (done.error, done.summary["would_create"], path.stat().st_size) == (None, 1, 0)
