"""The command `voucherify-sandbox certify`, its files, and the functions that need no project."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certification import SandboxClock, notes_of
from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.__main__ import main as sandbox_main
from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY
from voucherify_sandbox.certify import command
from voucherify_sandbox.certify.caller import without_strangers
from voucherify_sandbox.certify.exchange import Connection, Exchange, address_problem
from voucherify_sandbox.certify.form import timestamp_form
from voucherify_sandbox.certify.list_steps import first_left_out
from voucherify_sandbox.certify.notes import Notes
from voucherify_sandbox.certify.questions import QUESTIONS, UNSEEN
from voucherify_sandbox.certify.recording import Redaction
from voucherify_sandbox.certify.run import REWARD_STEPS, STEPS
from voucherify_sandbox.readings import from_file, names
from voucherify_sandbox.torture.__main__ import arguments, cases
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def keys(sandbox: Sandbox) -> dict[str, str]:
    return {
        "VOUCHERIFY_APPLICATION_ID": sandbox.application_id,
        "VOUCHERIFY_SECRET_KEY": sandbox.secret_key,
    }


@pytest.fixture
def strange() -> Iterator[Sandbox]:
    """A project with a customer of its own."""
    with Sandbox(readings=Readings(metadata="replace", export_bom=True)) as running:
        running.project.upsert_customer({"source_id": "jane", "email": "jane.roe@corp.io"})
        yield running


@dataclass
class Written:
    """What a probe wrote."""

    folder: Path
    out: str
    err: str


@pytest.fixture
def written(
    strange: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Written:
    for name, value in keys(strange).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "out"
    given = ["--api-url", strange.url, "--out", str(folder), "--throw-away", "--customers", "1"]
    assert command.main(given, SandboxClock(strange)) == 0
    assert len(strange.project.customers) == 1
    shown = capsys.readouterr()
    return Written(folder, shown.out, shown.err)


def test_it_writes_readings_that_torture_takes(written: Written) -> None:
    assert "All that was made is gone." in written.err
    assert re.search(r"Metadata keys .* removed +metadata=replace", written.out)
    file = written.folder / "readings.json"
    found = from_file(file)
    assert found["metadata"] == "replace"
    assert found["export_bom"] is True
    assert not set(found) & set(UNSEEN)
    assert sorted(path.name for path in written.folder.iterdir()) == [
        "readings.json",
        "recording.jsonl",
    ]
    options = arguments().parse_args(["--sample", "--readings", str(file)])
    chosen = cases(options)
    assert {case.readings["metadata"] for case in chosen} == {"replace"}


def test_its_files_are_private_and_hold_no_key_id_or_stranger(
    written: Written, strange: Sandbox
) -> None:
    for path in written.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = (written.folder / "recording.jsonl").read_text()
    ids = re.findall(r"[a-z]+_[0-9a-f]{24}", text)
    secrets = (*keys(strange).values(), "jane", "corp.io", "token=", *strange.project.customers)
    assert ids == []
    assert [secret for secret in secrets if secret in text] == []
    assert len(text.splitlines()) == strange.calls


def test_the_number_of_customers_is_a_check(
    strange: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in keys(strange).items():
        monkeypatch.setenv(name, value)
    given = ["--api-url", strange.url, "--out", str(tmp_path)]
    for more in ([], ["--throw-away", "--customers", "0"], ["--customers", "1"]):
        assert command.main([*given, *more], SandboxClock(strange)) == 1
    assert {request.method for request in strange.requests} == {"GET"}
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_is_cleaned_up_by_the_next(sandbox: Sandbox, tmp_path: Path) -> None:
    given = [sys.executable, "-m", "voucherify_sandbox", "certify", "--api-url", sandbox.url]
    given += ["--out", str(tmp_path)]
    environment = {**os.environ, **keys(sandbox)}
    probe = subprocess.Popen(
        [*given, "--throw-away", "--customers", "0"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(sandbox.project.customers) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    probe.send_signal(signal.SIGKILL)
    probe.wait()
    notes = tmp_path / "notes.jsonl"
    assert stat.S_IMODE(notes.stat().st_mode) == 0o600
    assert sandbox.secret_key not in notes.read_text()
    done = subprocess.run(
        [*given, "--clean-up"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, list(sandbox.project.customers)) == (0, [])
    assert "All that was made is gone." in done.stderr
    assert not notes.exists()


def test_a_full_disk_is_one_sentence_and_cleaned_up_later(sandbox: Sandbox, tmp_path: Path) -> None:
    given = [sys.executable, "-m", "voucherify_sandbox", "certify", "--api-url", sandbox.url]
    given += ["--out", str(tmp_path)]
    environment = {**os.environ, **keys(sandbox)}
    full = ["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *given]
    done = subprocess.run(
        [*full, "--throw-away", "--customers", "0"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "NOT CLEAN: [Errno 27] File too large. Make room"
    )
    assert len(sandbox.project.customers) > 0
    done = subprocess.run([*given, "--clean-up"], env=environment, check=False, text=True)
    assert (done.returncode, list(sandbox.project.customers)) == (0, [])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--api-url", "http://api.example"], "must begin with https://"),
        (["--application-id", "", "--secret-key", ""], "set VOUCHERIFY_APPLICATION_ID"),
        (["--secret-key", "a\nb"], "no key has"),
    ],
)
def test_what_cannot_work_is_refused(
    given: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(["--application-id", "a", "--secret-key", "b", "--out", str(tmp_path), *given])
    assert sentence in capsys.readouterr().err


def test_serve_refuses_a_file_that_holds_no_readings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "readings.json"
    for text in ("[1]", "nothing", '{"metadata": "both"}', '{"unheard_of": 1}'):
        file.write_text(text)
        with pytest.raises(SystemExit):
            sandbox_main(["serve", "--port", "0", "--readings", str(file)])
        assert "is not a file of readings" in capsys.readouterr().err


def test_notes_of_another_project_are_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    notes_of(sandbox, tmp_path).close()
    with pytest.raises(ValueError, match="another project"):
        Notes.for_project(tmp_path / "notes.jsonl", sandbox.url, "other")


@pytest.mark.parametrize("text", ["nothing\n", "[]\n", '{"unheard": 1}\n', '{"call": 1}\n'])
def test_what_is_no_file_of_notes_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(text)
    for _ in range(2):
        with pytest.raises(ValueError, match="is not a file of notes"):
            Notes.for_project(file, "https://x.example", "a")


def test_a_torn_line_of_the_notes_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    first = Notes.for_project(file, "https://x.example", "a")
    first.write({"row": "cert-1", "id": None})
    first.close()
    with file.open("a") as out:
        out.write('{"row": "cert-2", "i')
    again = Notes.for_project(file, "https://x.example", "a")
    assert again.left == ["cert-1"]
    again.write({"gone": "cert-1"})
    again.close()
    assert Notes(file).left == []


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/customers", True),
        ("https://us1.api.voucherify.io/v1/exports/1?token=x", True),
        ("https://us1.download.voucherify.io/v1/exports/1", True),
        ("http://us1.download.voucherify.io/v1/exports/1", False),
        ("https://download.voucherify.io/v1/exports/1", False),
        ("https://us1.download.voucherify.io.example/1", False),
        ("https://us1.api.voucherify.io@example/1", False),
    ],
)
def test_keys_go_to_the_hosts_of_the_region_only(path: str, sent: bool) -> None:  # noqa: FBT001
    assert Connection("https://us1.api.voucherify.io", "a", "b").may_have_keys(path) is sent


@pytest.mark.parametrize("url", ["ftp://x", "api.voucherify.io", "http://10.0.0.1", "https://"])
def test_an_address_that_is_not_private_is_refused(url: str) -> None:
    assert address_problem(url)


FORMS = {
    "milliseconds": ["2026-01-02T03:04:05.120Z"],
    "seconds": ["2026-01-02T03:04:05Z"],
    "microseconds": ["2026-01-02T03:04:05.123456Z"],
    "short_offset": ["2026-01-02T03:04:05.12+00:00", "2026-01-02T03:04:05.123456+00:00"],
    "long_offset": ["2026-01-02T03:04:05.123450+00:00", "2026-01-02T03:04:05.123456+00:00"],
    "mixed": ["2026-01-02T03:04:05.120Z", "2026-01-02T03:04:05.12+00:00"],
    None: ["2026-01-02T03:04:05.123456+00:00", "yesterday"],
}


@pytest.mark.parametrize(("form", "texts"), list(FORMS.items()))
def test_the_form_of_timestamps(form: str | None, texts: list[str]) -> None:
    assert timestamp_form(texts) == form


@pytest.mark.parametrize("micros", [0, 1, 499, 500, 998, 999])
def test_the_microsecond_of_a_row_is_found_in_ten_requests(micros: int) -> None:
    asked: list[int] = []

    def inclusive(bound: int) -> bool:
        asked.append(bound)
        return micros >= bound

    assert first_left_out(inclusive) == micros + 1
    assert first_left_out(lambda bound: micros > bound) == micros
    assert len(asked) <= 10


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.text(min_size=3))
def test_values_of_unpublished_members_are_not_recorded(value: Any, secret: str) -> None:
    shown = Redaction("cert-1").value({"user": {"mail": secret}, "customers": [{"x": secret}]})
    assert shown == {"user": "dict", "customers": [{"x": "str"}]}
    json.dumps(Redaction("cert-1").value(value))


def test_ids_addresses_and_queries_are_redacted() -> None:
    redaction = Redaction("cert-1a2b3c4d")
    text = "cust_0123456789abcdef at https://d.example/1?token=s by jane@corp.io, cert-1a2b3c4d-c1"
    assert redaction.text(text) == "cust_1 at https://d.example/1 by e-mail, cert-c1"
    assert redaction.text("cust_0123456789abcdef") == "cust_1"
    assert redaction.text("invalid_credentials") == "invalid_credentials"
    assert redaction.text("certify.test@example.invalid") == "certify.test@example.invalid"


def test_strangers_are_forgotten_before_anything_is_noted(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes.jsonl")
    notes.prefix = "cert-1"
    rows = [{"source_id": "cert-1-a", "name": "A"}, {"source_id": "jane", "name": "Jane"}]
    kept = without_strangers(
        Exchange(
            status=200,
            at=0,
            body={"customers": rows, "user": "Jane"},
            text="id,source_id\r\n1,cert-1-a\r\n2,jane\r\n",
        ),
        notes,
    )
    assert kept.body == {"customers": [rows[0], {}]}
    assert kept.text == "id,source_id\r\n1,cert-1-a\r\n"


def test_each_reading_is_a_question_or_has_a_reason() -> None:
    asked = {name for step in QUESTIONS.values() for name in step}
    assert set(names()) <= asked | set(UNSEEN)
    assert not asked & set(UNSEEN)
    assert {step.name for step in STEPS + REWARD_STEPS} | {"look", "form"} == set(QUESTIONS)


def test_the_table_fits_its_columns(written: Written) -> None:
    assert max(map(len, written.out.splitlines()[:-1])) <= sum(command.WIDTHS) + 4


def test_serve_takes_the_readings_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "readings.json"
    file.write_text(json.dumps({"settle_seconds": 7, "metadata": "replace", "address": "replace"}))
    given = [sys.executable, "-m", "voucherify_sandbox", "serve", "--port", "0"]
    given += ["--readings", str(file), "--reading", "address=merge"]
    with subprocess.Popen(given, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        wire = Wire(Served(url, APPLICATION_ID, SECRET_KEY))
        found = wire("GET", "/_sandbox/readings").body
        wire.close()
        server.terminate()
    assert (found["settle_seconds"], found["metadata"]) == (7, "replace")
    assert found["address"] == "merge"


@dataclass(frozen=True)
class Served:
    url: str
    application_id: str
    secret_key: str
