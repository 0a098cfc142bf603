"""The webhook receiver stores what it acknowledges, and refuses the rest."""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import leaks
from hooks import SECRET, Receiver, receiving
from voucherify_sandbox.webhooks import sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

TORTURE = bool(os.environ.get("TORTURE"))
EVENTS, KILLS = (10_000, 20) if TORTURE else (1_500, 4)


def envelope(identity: str = "evcus_1", **more: Any) -> bytes:
    event = {"id": identity, "type": "customer.rewarded", "created_at": "2026-03-02T10:15:31.412Z"}
    return json.dumps({"id": "whs_1", "type": "x", "data": {}, "event": event, **more}).encode()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiving(tmp_path_factory.mktemp("hooks") / "store.sqlite") as running:
        yield running


def test_an_event_is_kept_once_however_often_it_comes(receiver: Receiver) -> None:
    body = envelope("evcus_twice")
    before = receiver.figure("duplicates_total")

    assert [receiver.post(body)[0] for _ in range(3)] == [204, 204, 204]

    assert receiver.stored().count("evcus_twice") == 1
    assert receiver.figure("duplicates_total") - before == 2
    assert receiver.figure("lag_seconds_count") >= 1


OLD = {"id": "event_1", "object": "event", "webhook_id": "wh_1", "type": "x", "data": {}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"{no json", "not JSON", id="no JSON"),
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"[" * 200_000, "not JSON", id="too deep"),
        pytest.param(b'{"a":"\xff"}', "payload template", id="no UTF-8"),
        pytest.param(b'{"a":NaN}', "not JSON", id="not a number"),
        pytest.param(b"[1]", "payload template", id="no object"),
        pytest.param(b'{"customer":{"id":"c"}}', "payload template", id="a raw payload"),
        pytest.param(json.dumps(OLD).encode(), "v2024-01-01", id="the retired version"),
        pytest.param(envelope(event={"id": ""}), "payload template", id="an empty id"),
        pytest.param(envelope(event={"id": 1}), "payload template", id="an id of numbers"),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(
    receiver: Receiver, body: bytes, words: str
) -> None:
    before = receiver.stored()

    answer = receiver.post(body)

    assert answer[0] == 400
    assert words in answer[1]
    assert receiver.stored() == before


@pytest.mark.parametrize("chunked", [False, True], ids=["and says so", "without saying so"])
def test_a_body_that_is_too_long_is_refused(receiver: Receiver, *, chunked: bool) -> None:
    before = receiver.figure("refused_total")
    body = b"x" * 5_000_001
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=20)
    # The response comes before the body is sent, so the connection may close while sending.
    with suppress(OSError):
        connection.request(
            "POST", "/webhooks", iter([body]) if chunked else body, encode_chunked=chunked
        )
        assert connection.getresponse().status == 413
    connection.close()

    assert receiver.figure("refused_total") == before + 1


@pytest.mark.parametrize("signature", ["", "0" * 64, sign(envelope(), "another secret")])
def test_a_body_that_nobody_signed_is_refused(receiver: Receiver, signature: str) -> None:
    before = receiver.stored()

    assert receiver.post(envelope("evcus_forged"), signature)[0] == 401
    assert receiver.stored() == before


def test_it_says_that_it_is_well(receiver: Receiver) -> None:
    assert receiver.ask("GET", "/healthz") == (200, "ok\n")
    assert receiver.ask("GET", "/webhooks")[0] == 405
    assert receiver.ask("GET", "/elsewhere")[0] == 404


@given(
    body=st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "replace")),
    signed=st.booleans(),
    path=st.sampled_from(["/webhooks", "/healthz", "/", "/webhooks/../x"]),
    method=st.sampled_from(["POST", "GET", "PUT", "OPTIONS"]),
)
@settings(
    max_examples=1_000 if TORTURE else 60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_request_breaks_it_and_nothing_unsigned_is_kept(
    receiver: Receiver, body: bytes, path: str, method: str, *, signed: bool
) -> None:
    before = receiver.stored()
    signature = sign(body, SECRET) if signed else "1" * 64

    status, _ = receiver.ask(method, path, body, {"x-voucherify-signature": signature})

    assert status < 500
    assert receiver.stored() == before


def test_the_old_and_the_new_secret_work_while_one_replaces_the_other(tmp_path: Path) -> None:
    with receiving(tmp_path / "store.sqlite", "old-secret new-secret") as receiver:
        for number, secret in enumerate(("old-secret", "new-secret", "older-secret")):
            body = envelope(f"evcus_{number}")
            receiver.post(body, sign(body, secret))

        assert receiver.stored() == ["evcus_0", "evcus_1"]


def test_a_stop_ends_well_and_the_store_is_for_its_owner(tmp_path: Path) -> None:
    store = tmp_path / "deep" / "store.sqlite"
    with receiving(store) as receiver:
        receiver.post(envelope())
        assert receiver.stop() == 0

        assert "on disk" in receiver.said()
        assert receiver.stored() == ["evcus_1"]
        assert stat.S_IMODE(store.stat().st_mode) == 0o600


def test_no_event_is_acknowledged_that_is_not_on_disk(tmp_path: Path) -> None:
    with receiving(tmp_path / "store.sqlite") as receiver:
        other = sqlite3.connect(receiver.store, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        status, answer = receiver.post(envelope())
        assert (status, "send again" in answer) == (503, True)
        assert receiver.ask("GET", "/healthz")[0] == 503
        other.execute("COMMIT")
        other.close()

        assert receiver.post(envelope())[0] == 204
        assert receiver.ask("GET", "/healthz")[0] == 200


def test_events_are_stored_again_once_a_full_disk_has_room(tmp_path: Path) -> None:
    with receiving(tmp_path / "store.sqlite") as receiver:
        assert receiver.process is not None
        assert receiver.post(envelope("evcus_first"))[0] == 204
        size = Path(f"{receiver.store}-wal").stat().st_size
        limits = resource.prlimit(receiver.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(receiver.process.pid, resource.RLIMIT_FSIZE, (size + 100_000, limits[1]))
        padded = [envelope(f"evcus_{number}", padding="x" * 4_000) for number in range(60)]
        statuses = [receiver.post(body)[0] for body in padded]
        assert statuses[0] == 204
        assert statuses[-1] == 503
        assert receiver.ask("GET", "/healthz")[0] == 503

        resource.prlimit(receiver.process.pid, resource.RLIMIT_FSIZE, limits)

        assert {receiver.post(body)[0] for body in padded} == {204}
        assert receiver.ask("GET", "/healthz")[0] == 200
        assert len(receiver.stored()) == 61


@contextmanager
def half_sent(receiver: Receiver, count: int, start: bytes) -> Iterator[list[socket.socket]]:
    """Connections that send the start of a request and no more."""
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", receiver.port), timeout=30)
            connections.append(stack.enter_context(connection))
            with suppress(OSError):
                connection.sendall(start)
        yield connections


@pytest.mark.parametrize(
    "start",
    [b"", b"POST /webhooks HTTP/1.1\r\nX-A: ", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nP"],
)
def test_half_a_request_is_dropped_and_keeps_no_other_out(receiver: Receiver, start: bytes) -> None:
    with half_sent(receiver, 700, start) as connections:
        began = time.monotonic()
        assert receiver.post(envelope(f"evcus_{len(start)}"))[0] == 204
        assert time.monotonic() - began < 5
        for connection in (connections[0], connections[-1]):
            while connection.recv(4_096):
                pass
        assert time.monotonic() - began < 25


def test_a_request_that_came_while_the_receiver_was_busy_is_read_before_it_is_dropped(
    receiver: Receiver,
) -> None:
    """Behind it come more answered requests than connections may wait, all read at once."""
    assert receiver.process is not None
    receiver.process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(receiver.post, envelope())
        time.sleep(0.3)
        with half_sent(receiver, 700, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nP"):
            receiver.process.send_signal(signal.SIGCONT)
            assert posted.result()[0] == 204


def test_bodies_in_flight_have_a_bound_and_small_ones_still_come_in(tmp_path: Path) -> None:
    start = b"POST /webhooks HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n"
    with (
        receiving(tmp_path / "store.sqlite") as receiver,
        half_sent(receiver, 80, start + b"x" * 4_900_000),
    ):
        assert receiver.post(envelope())[0] == 204
        assert receiver.process is not None
        status = Path(f"/proc/{receiver.process.pid}/status").read_text()
        kilobytes = int(status.split("VmHWM:")[1].split()[0])

    assert kilobytes < 250_000


@pytest.mark.parametrize("body", [b'"' * 4_999_999, b'" ' * 2_499_999, b'\\"' * 2_499_999])
def test_a_long_body_does_not_stop_the_others(receiver: Receiver, body: bytes) -> None:
    sent = threading.Thread(target=receiver.post, args=(body, "0" * 64))
    sent.start()
    waits = []
    while sent.is_alive():
        began = time.monotonic()
        assert receiver.ask("GET", "/healthz")[0] == 200
        waits.append(time.monotonic() - began)

    assert max(waits) < 1


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_taken_is_named_and_the_store_left_alone(
    receiver: Receiver, host: str
) -> None:
    second = subprocess.run(
        [
            *(sys.executable, "-m", "tap_voucherify.webhooks", "serve"),
            *("--store", receiver.store, "--port", str(receiver.port), "--host", host),
        ],
        env={**os.environ, "VOUCHERIFY_WEBHOOK_SECRETS": SECRET},
        capture_output=True,
        text=True,
        check=False,
    )

    leaks.saw(second.stderr)
    assert second.returncode == 1
    assert f"cannot listen on {host}, port {receiver.port}" in second.stderr
    assert "--port" in second.stderr
    assert "Traceback" not in second.stderr
    assert receiver.post(envelope(f"evcus_{host}"))[0] == 204


def replaced(store: Path) -> None:
    copy = store.with_name("copy")
    copy.write_bytes(store.read_bytes())
    copy.replace(store)


def restored(store: Path) -> None:
    """Write an older content into the open file, as `sqlite3 .restore` does."""
    with sqlite3.connect(store) as base, sqlite3.connect(store.with_name("backup")) as older:
        older.backup(base)
    base.close()


GONE = {
    "deleted": Path.unlink,
    "moved": lambda store: store.rename(store.with_name("moved")),
    "replaced": replaced,
    "restored": restored,
    "its log is deleted": lambda store: store.with_name(f"{store.name}-wal").unlink(),
}


@pytest.mark.parametrize("how", GONE)
def test_a_store_that_is_lost_while_it_runs_acknowledges_nothing(tmp_path: Path, how: str) -> None:
    with receiving(tmp_path / "store.sqlite") as receiver:
        with sqlite3.connect(receiver.store) as base:
            base.backup(sqlite3.connect(tmp_path / "backup"))
        base.close()
        assert receiver.post(envelope())[0] == 204
        GONE[how](receiver.store)
        before = receiver.ask("GET", "/healthz")
        answer = receiver.post(envelope("evcus_2"))
        after = receiver.ask("GET", "/healthz")
        receiver.stop()
        receiver.start()

        assert (answer[0], "restart the receiver" in answer[1]) == (503, True)
        assert (after[0], "restart the receiver" in after[1]) == (503, True)
        assert before[0] == (200 if how == "restored" else 503)
        assert receiver.post(envelope("evcus_2"))[0] == 204
        assert "evcus_2" in receiver.stored()


def test_a_kill_at_any_moment_loses_no_acknowledged_event(tmp_path: Path, sandbox: Sandbox) -> None:
    chance = random.Random(os.environ.get("SEED", "kills"))
    project, webhooks = sandbox.project, sandbox.project.webhooks
    with receiving(tmp_path / "store.sqlite") as receiver:
        identity = project.add_webhook(
            receiver.url,
            SECRET,
            duplicates=0.2,
            disorder_seconds=2,
            timeout_seconds=5,
            retry_seconds=[0.1 * n for n in range(1, 500)],
        )
        project.add_customers(EVENTS)
        book = webhooks.book(identity)
        for kill in range(1, KILLS + 1):
            enough = chance.uniform(0.5, 1) * EVENTS * kill / KILLS * 0.9
            while len(book.acknowledged) < enough:
                threading.Event().wait(0.005)
            receiver.stop(signal.SIGKILL)
            assert set(book.acknowledged) <= set(receiver.stored())
            receiver.start()
        assert webhooks.wait(120)
        stored = receiver.stored()

    assert len(stored) == len(set(stored)) == EVENTS
    assert set(stored) == set(book.acknowledged)
    assert book.attempts > EVENTS
    assert stored != sorted(stored)
