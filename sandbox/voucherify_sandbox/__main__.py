"""`voucherify-sandbox serve`, `certify` and `torture`; `serve` may be left out."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY
from voucherify_sandbox.faults import Fault
from voucherify_sandbox.limits import Limits
from voucherify_sandbox.readings import Readings, from_file
from voucherify_sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTLE_SECONDS = 3
"""Voucherify recalculates summaries seconds after a request, by the times in its samples."""


def parser() -> argparse.ArgumentParser:
    """The command-line parser of `serve`."""
    options = argparse.ArgumentParser(
        prog="voucherify-sandbox",
        description="A stand-in for one Voucherify project, on a loopback port.",
    )
    options.add_argument("--port", type=int, default=8010, help="where to listen; 0: any free port")
    options.add_argument("--seed", choices=["demo"], help="contents to begin with")
    options.add_argument("--application-id", default=APPLICATION_ID)
    options.add_argument("--secret-key", default=SECRET_KEY)
    options.add_argument(
        "--reading",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a reading, see sandbox/README.md; may be repeated",
    )
    options.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="JSON",
        help="inject a fault, see sandbox/README.md; may be repeated",
    )
    options.add_argument(
        "--readings",
        type=Path,
        metavar="FILE",
        help="set those that `certify` found; --reading goes before them",
    )
    options.add_argument("--settle-seconds", type=float, metavar="N")
    options.add_argument("--calls-per-minute", type=int, default=Limits.calls, metavar="N")
    options.add_argument("--bulk-calls-per-hour", type=int, default=Limits.bulk_calls, metavar="N")
    options.add_argument("--calls-per-cycle", type=int, metavar="N")
    return options


def _prepared(options: argparse.Namespace) -> Sandbox:
    """A sandbox with these options that does not listen yet."""
    readings = Readings(settle_seconds=SETTLE_SECONDS)
    if options.readings is not None:
        readings.change(**from_file(options.readings))
    if options.settle_seconds is not None:
        readings.settle_seconds = options.settle_seconds
    readings.change(**dict(pair.split("=", 1) for pair in options.reading))
    limits = Limits(
        calls=options.calls_per_minute,
        bulk_calls=options.bulk_calls_per_hour,
        cycle_calls=options.calls_per_cycle,
    )
    sandbox = Sandbox(
        port=options.port,
        seed=options.seed,
        application_id=options.application_id,
        secret_key=options.secret_key,
        readings=readings,
        limits=limits,
    )
    sandbox.faults.add(*(Fault.from_json(json.loads(text)) for text in options.fault))
    return sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["certify"]:
        # Only this command writes to a live project.
        from voucherify_sandbox.certify.command import main as certify  # noqa: PLC0415

        return certify(given[1:])
    if given[:1] == ["torture"]:
        # Only this command starts the plugins.
        from voucherify_sandbox.torture.__main__ import main as torture  # noqa: PLC0415

        return torture(given[1:])
    return serve(given[1:] if given[:1] == ["serve"] else given)


def serve(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = parser().parse_args(arguments)
    try:
        sandbox = _prepared(options)
    except ValueError as error:
        parser().error(str(error))
    enough = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: enough.set())
    try:
        with sandbox:
            lines = (
                f"voucherify-sandbox listens on {sandbox.url}",
                f"application_id {sandbox.application_id}",
                f"secret_key {sandbox.secret_key}",
            )
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
            enough.wait()
    except OSError as error:
        sys.stderr.write(f"voucherify-sandbox cannot listen on port {options.port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
