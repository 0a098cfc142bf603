"""Measures how many webhooks a second the receiver takes, compared with an app that does nothing.

`make bench-webhooks` prints requests a second of both for several numbers of requests in flight.
The receiver verifies the signature and responds once the event is synced to disk. The client shares
the machine.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

from voucherify_sandbox.webhooks import SIGNATURE, sign

SECRET = "measured"  # noqa: S105 - signs nothing that is worth anything
AT_ONCE = (1, 8, 32)
SECONDS = 5.0
PORT = 8019
NOTHING = """
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def take(request):
    await request.body()
    return Response(status_code=204)

app = Starlette(routes=[Route("/webhooks", take, methods=["POST"])])
uvicorn.run(app, port=8019, log_level="warning", http="h11", ws="none")
"""
PAYLOAD = {"customer": {"id": "cust_1", "name": "Zoë"}, "order": {"items": [{"n": 1}] * 40}}


def body() -> bytes:
    """A new event of about a kilobyte."""
    event = {"id": f"evcus_{uuid.uuid4().hex}", "type": "customer.rewarded"}
    return json.dumps({"event": event, "data": PAYLOAD}, separators=(",", ":")).encode()


def send(until: float, counts: list[int]) -> None:
    """Send events over a persistent connection until a time."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    count = 0
    while time.monotonic() < until:
        content = body()
        connection.request("POST", "/webhooks", content, {SIGNATURE: sign(content, SECRET)})
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.NO_CONTENT:
            raise SystemExit(f"The server responded {answer.status}.")
        count += 1
    counts.append(count)


def rate(at_once: int) -> float:
    """Requests a second with `at_once` in flight."""
    counts: list[int] = []
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=send, args=(until, counts)) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def measured(command: list[str]) -> list[float]:
    """The rates of one server."""
    env = {**os.environ, "VOUCHERIFY_WEBHOOK_SECRETS": SECRET}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", PORT).connect()
            except OSError:
                time.sleep(0.05)
            else:
                break
        return [rate(at_once) for at_once in AT_ONCE]
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        serve = [sys.executable, "-m", "tap_voucherify.webhooks", "serve", "--port", str(PORT)]
        receiver = measured([*serve, "--store", f"{folder}/store.sqlite"])
    nothing = measured([sys.executable, "-c", NOTHING])
    print("| requests in flight | receiver, a second | an app that does nothing, a second |")
    print("| --- | --- | --- |")
    for at_once, ours, theirs in zip(AT_ONCE, receiver, nothing, strict=True):
        print(f"| {at_once} | {ours:,.0f} | {theirs:,.0f} |")


if __name__ == "__main__":
    main()
