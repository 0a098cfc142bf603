"""`voucherify-sandbox certify`."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import signal
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from voucherify_sandbox.certify import recording
from voucherify_sandbox.certify.caller import MAX_CALLS, Caller, RealClock
from voucherify_sandbox.certify.exchange import Connection
from voucherify_sandbox.certify.notes import CUSTOMERS, Notes
from voucherify_sandbox.certify.questions import REWARDS
from voucherify_sandbox.certify.run import run
from voucherify_sandbox.readings import from_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voucherify_sandbox.certify.caller import Clock
    from voucherify_sandbox.certify.exchange import Json
    from voucherify_sandbox.certify.questions import Findings
    from voucherify_sandbox.certify.run import Outcome

NOTES, READINGS, RECORDING = "notes.jsonl", "readings.json", "recording.jsonl"
REWARDS_RECORDING = "recording-rewards.jsonl"
WRITES = {
    CUSTOMERS: "about a dozen test customers, an order, three bulk jobs and an export",
    REWARDS: "three test customers, two campaigns, a reward, a code and its redemption",
}
API_URL = "https://api.voucherify.io"
WARNING = """\
This writes to the project: {}.
New customers can enter segments and so set off distributions, webhooks and earning rules, which
the API does not show. Use a project that holds nothing but tests.
"""


def parser() -> argparse.ArgumentParser:
    """The command-line parser."""
    options = argparse.ArgumentParser(
        prog="voucherify-sandbox certify",
        description="Find out how a throw-away Voucherify project answers the sandbox's readings.",
        epilog=f"It makes {MAX_CALLS} API calls at most and deletes what it made.",
    )
    options.add_argument("--api-url", default=API_URL, help=f"of the project, {API_URL} by default")
    options.add_argument(
        "--application-id", help="by default from VOUCHERIFY_APPLICATION_ID in the environment"
    )
    options.add_argument(
        "--secret-key", help="by default from VOUCHERIFY_SECRET_KEY; asked for if neither is set"
    )
    options.add_argument(
        "--throw-away", action="store_true", help="the project may be written to; else only look"
    )
    options.add_argument(
        "--rewards",
        action="store_const",
        const=REWARDS,
        default=CUSTOMERS,
        dest="part",
        help="ask about referrals and rewards instead, by campaigns that are deleted again",
    )
    options.add_argument(
        "--customers", type=int, metavar="N", help="customers that the project has, as a check"
    )
    options.add_argument(
        "--out",
        type=Path,
        default=Path("voucherify-certify"),
        metavar="FOLDER",
        help="for what it writes",
    )
    options.add_argument(
        "--clean-up", action="store_true", help="only delete what a run that was cut left behind"
    )
    return options


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Probe; 0 if it took all steps, or none was wanted, and all that was made is gone.

    Args:
        arguments: those of the command line.
        clock: the source of time; signals end a run only with the computer's own.
    """
    options = parser().parse_args(arguments)
    notes_path = options.out / NOTES
    if options.clean_up and not notes_path.exists():
        say(f"{notes_path} does not exist: there is nothing to clean up.")
        return 0
    try:
        application_id, secret_key = _keys(options)
        connection = Connection(options.api_url, application_id, secret_key)
        notes = Notes.for_project(notes_path, options.api_url, application_id)
    except (ValueError, OSError) as error:
        parser().error(str(error))
    try:
        return _probe(options, connection, notes, clock or RealClock())
    except OSError as error:
        say(f"NOT CLEAN: {error}. Make room in {options.out}, then run it again with --clean-up.")
        return 1


def _probe(options: argparse.Namespace, connection: Connection, notes: Notes, clock: Clock) -> int:
    def confirm(customers: int) -> bool:
        agreed = _confirmed(options, customers)
        if agreed:
            _on_signals(clock)
        return agreed

    only_clean_up = options.clean_up or bool(notes.made and not options.throw_away)
    if notes.made:
        if not only_clean_up:
            say("Going on from the notes of a run that was cut.")
        _on_signals(clock)
    caller = Caller(connection, notes, clock, say)
    outcome = run(caller, say, confirm, only_clean_up=only_clean_up, part=options.part)
    return _finish(options, notes, outcome)


def say(line: str) -> None:
    """Show a line to the user."""
    # Cleaning up goes on when nobody reads any more.
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _keys(options: argparse.Namespace) -> tuple[str, str]:
    application_id = options.application_id or os.environ.get("VOUCHERIFY_APPLICATION_ID", "")
    secret_key = options.secret_key or os.environ.get("VOUCHERIFY_SECRET_KEY", "")
    if not secret_key and sys.stdin.isatty():
        secret_key = getpass.getpass("Secret key: ")
    pair = application_id.strip(), secret_key.strip()
    if not all(pair):
        raise ValueError("set VOUCHERIFY_APPLICATION_ID and VOUCHERIFY_SECRET_KEY")
    if not all(key.isascii() and key.isprintable() for key in pair):
        raise ValueError("a key holds characters that no key has")
    return pair


def _on_signals(clock: Clock) -> None:
    """Clean up at the first signal, end at the second."""
    if not isinstance(clock, RealClock):
        return
    interrupted = clock.interrupted

    def end(*_: object) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        interrupted.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)


def _confirmed(options: argparse.Namespace, customers: int) -> bool:
    say(f"The project has {customers} customers.")
    if not options.throw_away:
        say("Add --throw-away to write to it.")
        return False
    say(WARNING.format(WRITES[options.part]))
    given = options.customers
    if given is None and sys.stdin.isatty():
        typed = input("Type the number of its customers to go on: ").strip()
        given = int(typed) if typed.isdecimal() else None
    if given != customers:
        say(f"Add --customers {customers} if it is this project.")
        return False
    return True


def _finish(options: argparse.Namespace, notes: Notes, outcome: Outcome) -> int:
    """Write the files and the table."""
    findings, out = outcome.probe.findings, options.out
    rewards = notes.part == REWARDS
    if notes.made:
        name = REWARDS_RECORDING if rewards else RECORDING
        _write(out / name, recording.lines(notes))
    if found := findings.readings():
        if rewards:
            found = _known(out / READINGS) | found
        _write(out / READINGS, json.dumps(found, indent=2) + "\n")
        rows = table(findings, notes.part)
        _show(f"{rows}\n{len(found)} readings in {out / READINGS}\n")
    say(f"{outcome.probe.caller.used} API calls.")
    if outcome.reason:
        say(f"It ended early: {outcome.reason}.")
    if not outcome.clean:
        notes.close()
        lists = [path.rpartition("/")[2] for path in notes.programs_left]
        left = ", ".join([*notes.left, *lists]) or "rows of this run"
        say(f"NOT CLEAN: {left} may still be there. Run it again with --clean-up.")
        return 1
    notes.remove()
    say("All that was made is gone." if notes.made else "Nothing was made.")
    return int(bool(outcome.reason) and not options.clean_up)


def _known(path: Path) -> Json:
    """The readings that an earlier part found; none where there is no such file."""
    if not path.exists():
        return {}
    try:
        return from_file(path)
    except ValueError:
        say(f"{path} holds no readings, so it is replaced.")
        return {}


def _show(text: str) -> None:
    """Show the table; where nobody reads it, the readings still are in their file."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        say("The table could not be shown.")


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        os.fchmod(file, 0o600)
        out.write(text)


WIDTHS = (52, 48, 40)


def table(findings: Findings, part: str) -> str:
    """Question, what was seen, and the reading, of a part of the probe, as text."""
    lines = [("Question", "Seen", "Reading"), *findings.rows(part)]
    shown = []
    for cells in lines:
        columns = [
            textwrap.wrap(text, width) or [""] for text, width in zip(cells, WIDTHS, strict=True)
        ]
        for number in range(max(map(len, columns))):
            parts = [
                (column[number] if number < len(column) else "").ljust(width)
                for column, width in zip(columns, WIDTHS, strict=True)
            ]
            shown.append("  ".join(parts).rstrip())
        if cells[0] == "Question":
            shown.append("  ".join("-" * width for width in WIDTHS))
    return "\n".join(shown) + "\n"
