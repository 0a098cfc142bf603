"""The file of refused records as the input of the run that writes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer_input import TEXT, contacts, lines, record, schema
from target_run import held, load, settings
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

TARGET = (sys.executable, "-m", "target_voucherify")
LONGEST = 60
"""Seconds that a run may take; one that reads what it writes would never end."""


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    made = settings(project, refused_records_path=str(tmp_path / "refused.singer"))
    (tmp_path / "config.json").write_text(json.dumps(made))
    return made


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    return tmp_path / "refused.singer"


def replay(
    tmp_path: Path, source: Path, *, begin: int = 0, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """Run `target-voucherify --config … < source` as a shell does, from a byte on."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    with source.open("rb", buffering=0) as file:
        file.seek(begin)
        done = subprocess.run(
            [*TARGET, "--config", str(path)],
            stdin=file,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    leaks.saw(done.stderr)
    return done


def refuse(config: dict[str, Any], bad: int, *, good: int = 1) -> None:
    """Leave a file with `bad` records of numbers from 1,000 on, whose name is no text."""
    messages = [record(1000 + number, name=["no text"]) for number in range(bad)]
    load(config, lines(*contacts(good), *messages))


def kept(path: Path) -> list[str]:
    messages = [json.loads(line) for line in path.read_text().splitlines()]
    return [each["record"]["source_id"] for each in messages if each["type"] == "RECORD"]


@pytest.mark.parametrize("name", ["refused.singer", "another-name", "symbolic-link"])
def test_the_file_that_a_run_writes_is_read_once(
    config: dict[str, Any], tmp_path: Path, refused: Path, name: str
) -> None:
    refuse(config, 300)
    source = tmp_path / name
    if name == "another-name":
        os.link(refused, source)
    elif name == "symbolic-link":
        source.symlink_to(refused)
    done = replay(tmp_path, source, max_refused_percent=5)
    assert done.returncode == 0, done.stderr
    assert source.is_symlink() == (name == "symbolic-link")
    assert kept(refused) == [f"crm-{1000 + number}" for number in range(300)]
    assert not list(tmp_path.glob("*.replaying"))


def test_what_is_accepted_at_last_leaves_the_file(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path
) -> None:
    project.faults.add(Fault(kind="status", status=400, method="POST", times=4))
    load({**config, "write_path": "single"}, lines(*contacts(10)))
    refuse(config, 3, good=0)
    assert len(kept(refused)) == 7
    done = replay(tmp_path, refused, max_refused_percent=5)
    assert done.returncode == 0, done.stderr
    assert kept(refused) == ["crm-1000", "crm-1001", "crm-1002"]
    assert len(held(project)) == 10
    assert refused.stat().st_mode & 0o777 == 0o600


def test_a_file_of_which_nothing_is_refused_is_empty_at_the_end(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path
) -> None:
    project.faults.add(Fault(kind="status", status=400, method="POST", times=4))
    load({**config, "write_path": "single"}, lines(*contacts(10)))
    replay(tmp_path, refused)
    assert (refused.read_text(), len(held(project))) == ("", 10)


def test_a_file_lacks_streams_of_which_nothing_was_refused(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path
) -> None:
    maps = {"crm": {"__alias__": "customers"}, "shop": {"__alias__": "orders"}}
    more = {"stream_maps": maps, "entities": {"orders": {}}}
    order = {"source_id": "shop-1", "amount": 5, "customer": {"source_id": "crm-0"}}
    bought = {"type": "RECORD", "stream": "shop", "record": order}
    of_orders = schema({"source_id": TEXT, "amount": {}, "customer": {}}, "shop")
    project.faults.add(Fault(kind="status", status=400, path="/v1/orders"))
    load(config | more, lines(schema(stream="crm"), of_orders, record(0, stream="crm"), bought))
    assert kept(refused) == ["shop-1"]

    done = replay(tmp_path, refused, **more)

    assert (done.returncode, refused.read_text()) == (0, ""), done.stderr
    assert [placed["amount"] for placed in project.project.records.orders.values()] == [5]


def test_a_record_of_two_entities_is_replayed_for_those_that_refused_it(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path
) -> None:
    maps = {
        "customers": {"__source__": "sales", "source_id": "who", "__key_properties__": ["who"]},
        "sales": {"__alias__": "orders"},
    }
    orders = {"source_id": "number", "mapping": {"amount": "total", "customer.source_id": "who"}}
    more = {"stream_maps": maps, "entities": {"orders": orders}, "source_id": "source_id"}
    sales = schema({"number": TEXT, "who": {}, "total": {}}, "sales", ("number",))
    sold = [{"number": "a", "who": ["x"], "total": 0.5}, {"number": "b", "who": "y", "total": 0.5}]
    messages = [{"type": "RECORD", "stream": "sales", "record": row} for row in sold]
    load(config | more, lines(sales, *messages))
    before = refused.read_text()
    assert before.count('"RECORD"') == 3
    project.forget_requests()

    done = replay(tmp_path, refused, **more)

    assert done.returncode == 0, done.stderr
    assert refused.read_text().count('"RECORD"') == 3
    assert not project.requests


@pytest.mark.parametrize("fault", ["401", "max_calls"])
def test_a_replay_that_ends_early_leaves_the_file_as_it_was(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path, fault: str
) -> None:
    project.faults.add(Fault(kind="status", status=400, method="POST", times=150))
    load({**config, "write_path": "single"}, lines(*contacts(150)))
    before = refused.read_bytes()
    more = {"write_path": "single", "max_calls": 120} if fault == "max_calls" else {}
    if fault == "401":
        project.faults.add(Fault(kind="status", status=401, method="POST"))
    done = replay(tmp_path, refused, **more)
    assert done.returncode == 1  # with max_calls as well: it would never get any further
    assert refused.read_bytes() == before
    assert not list(tmp_path.glob("*.replaying"))


@pytest.mark.parametrize("after", [0.0, 0.2, 0.4, 0.8])
def test_a_kill_loses_no_refused_record(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path, after: float
) -> None:
    project.faults.add(Fault(kind="status", status=400, method="POST", times=100))
    load({**config, "write_path": "single"}, lines(*contacts(100)))
    refuse(config, 20, good=0)
    before = set(kept(refused))
    (tmp_path / "config.json").write_text(json.dumps({**config, "write_path": "single"}))
    project.faults.add(Fault(kind="slow_headers", seconds=0.05, method="POST", times=None))
    with (
        refused.open() as file,
        subprocess.Popen(
            [*TARGET, "--config", str(tmp_path / "config.json")],
            stdin=file,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        time.sleep(0.6 + after)
        process.send_signal(signal.SIGKILL)
    assert before <= set(kept(refused)) | held(project)
    assert replay(tmp_path, refused).returncode == 0
    assert before <= set(kept(refused)) | held(project)


def test_a_file_behind_a_pipe_is_noticed(
    config: dict[str, Any], tmp_path: Path, refused: Path
) -> None:
    refuse(config, 300)
    before = set(kept(refused))
    command = f"cat '{refused}' | '{sys.executable}' -m target_voucherify --config config.json"
    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        leaks.saw(done.stderr)
        if done.returncode:
            assert "instead of through a pipe" in done.stderr
    assert before == set(kept(refused))
    assert refused.stat().st_size < 1_000_000


def test_another_file_is_read_to_its_end_and_appended_to(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path
) -> None:
    refuse(config, 2)
    other = tmp_path / "other.singer"
    other.write_text(lines(schema(), record(7), record(8, name=["no text"])))
    done = replay(tmp_path, other)
    assert done.returncode == 0, done.stderr
    assert kept(refused) == ["crm-1000", "crm-1001", "crm-8"]
    assert "crm-7" in held(project)


def test_what_is_added_to_the_file_while_it_is_replayed_waits_for_the_next_replay(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path
) -> None:
    """A batch is in flight when two lines are added, and others are not read yet."""
    refuse(config, 2)
    project.faults.add(Fault(kind="slow_headers", seconds=0.5, method="POST", times=3))
    with refused.open("ab") as file:
        file.write(lines(*(record(number) for number in range(1, 3_000))).encode())

    with ThreadPoolExecutor(1) as pool:
        replayed = pool.submit(replay, tmp_path, refused, batch_size_rows=500)
        while project.faults.injected == 0 and not replayed.done():
            time.sleep(0.01)
        with refused.open("ab") as file:
            file.write(lines(record(8_000), record(8_001)).encode())
        done = replayed.result()

    assert done.returncode == 0, done.stderr
    assert held(project) == {f"crm-{number}" for number in range(3_000)}
    assert kept(refused) == ["crm-1000", "crm-1001", "crm-8000", "crm-8001"]


def test_a_replay_clears_no_field_that_could_not_be_encoded(
    config: dict[str, Any], project: Sandbox, tmp_path: Path, refused: Path
) -> None:
    config |= {"nulls": "send"}
    load(config, lines(*contacts(1)))
    line = json.dumps(record(0, name="Zo\ud83d", metadata={"x": 1.5}))
    load(config, lines(schema(), line + "\n"))
    assert refused.read_text().splitlines()[1].startswith(line.removesuffix("}}"))
    before = kept(refused)
    assert replay(tmp_path, refused, nulls="send").returncode == 0
    assert project.project.customer_by_source_id("crm-0")["name"] == "Contact 0"
    assert kept(refused) == before
    assert refused.read_text().splitlines()[1].startswith(line.removesuffix("}}"))
    assert refused.read_text().count('_refused_hash":') == 2


def test_a_link_that_the_setting_names_stays_a_link(
    config: dict[str, Any], tmp_path: Path, refused: Path
) -> None:
    refuse(config, 3)
    link = tmp_path / "link.singer"
    link.symlink_to(refused)
    done = replay(tmp_path, link, refused_records_path=str(link))
    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert kept(refused) == ["crm-1000", "crm-1001", "crm-1002"]


def test_what_lies_before_the_beginning_of_the_input_stays(
    config: dict[str, Any], tmp_path: Path, refused: Path
) -> None:
    refuse(config, 3)
    with refused.open("rb") as file:
        lines_before = file.readline() + file.readline()
    replay(tmp_path, refused, begin=len(lines_before))
    assert set(kept(refused)) == {"crm-1000", "crm-1001", "crm-1002"}


def test_records_that_were_refused_in_the_future_are_replayed(
    config: dict[str, Any], tmp_path: Path, refused: Path
) -> None:
    refuse(config, 3)
    refused.write_text(refused.read_text().replace('"_refused_at":"20', '"_refused_at":"21'))
    done = replay(tmp_path, refused)
    assert done.returncode == 0, done.stderr
    assert kept(refused) == ["crm-1000", "crm-1001", "crm-1002"]
