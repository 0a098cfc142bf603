"""The examination of a set-up (`--doctor`): a line for each check, and what to do where one is red.

Nothing is written anywhere, and the only requests are reads.
"""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from .errors import AccessError, VoucherifyError
from .exit_status import message_for
from .sdk_version import NEWEST_TESTED, is_tested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .client import Client
    from .responses import Response

Mark = Literal["ok", "WRONG", "unseen"]

LONGEST_WAIT_SECONDS = 5.0
"""An examination does not wait for a used-up quota to renew."""

CLOCK_SECONDS = 60
"""A local clock that is further from the server's than this deserves a line."""


class Finding(NamedTuple):
    """One line of a report."""

    mark: Mark
    what: str
    said: str


class Examination:
    """Collects findings; each check stands by itself, so one that fails hides no other.

    Args:
        plugin: its name.
    """

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self.findings: list[Finding] = []

    def check(self, what: str, look: Callable[[], str | None]) -> bool:
        """Note what a look finds; whether all is well there.

        Args:
            what: is looked at.
            look: returns what to say; raises what is wrong.
        """
        try:
            said = look() or "fine"
        except Exception as error:  # noqa: BLE001 - whatever is wrong gets a line
            self.findings.append(Finding("WRONG", what, message_for(error)))
            return False
        self.findings.append(Finding("ok", what, said))
        return True

    def ask(self, what: str, client: Client, look: Callable[[], str | None]) -> None:
        """Check something by a call, unless the quota has none left; a call would wait for it."""
        if client.usage.quota_left == 0:
            self.leave(what, "no calls are left in this period")
        else:
            self.check(what, look)

    def leave(self, what: str, why: str) -> None:
        """Note what could not be seen."""
        self.findings.append(Finding("unseen", what, why))

    def leave_all(self, names: Iterable[str], why: str) -> None:
        """Note several of these."""
        for name in names:
            self.leave(name, why)

    @property
    def status(self) -> int:
        """The exit status: 0 if nothing is wrong."""
        return int(any(finding.mark == "WRONG" for finding in self.findings))

    def report(self, calls: int) -> str:
        """All findings as text.

        Args:
            calls: that the examination made.
        """
        width = max(len(finding.what) for finding in self.findings)
        lines = [
            f"{finding.mark:<8}{finding.what:<{width}}  {finding.said}" for finding in self.findings
        ]
        marks = [finding.mark for finding in self.findings]
        counted = ", ".join(f"{marks.count(mark)} {mark}" for mark in ("ok", "WRONG", "unseen"))
        return "\n".join([f"{self.plugin}: {counted}, by {calls} API calls", *lines, ""])


def doctor_option() -> click.Option:
    """The option of both commands that examines instead of running."""
    said = "Examine the set-up: settings, keys, quota, files and versions. Writes nothing."
    return click.Option(["--doctor"], is_flag=True, help=said)


def examine_versions(examination: Examination) -> None:
    """The versions of what runs, and whether they were tested together."""

    def look() -> str:
        sdk = version("singer-sdk")
        name, python = examination.plugin, platform.python_version()
        named = f"{name} {version(name)} on singer-sdk {sdk}, Python {python}"
        if is_tested(sdk):
            return named
        raise VoucherifyError(
            f"{named}: that SDK is newer than {NEWEST_TESTED}, the newest that was tested; install "
            "that one if a run fails."
        )

    examination.check("versions", look)


def examine_access(examination: Examination, client: Client, path: str) -> bool:
    """Whether the keys are accepted at this address; the clock, and what is left of the quota.

    Args:
        examination: of the set-up.
        client: of the project.
        path: of a list that every run needs.
    """
    client.longest_wait = LONGEST_WAIT_SECONDS
    responses: list[Response] = []

    def ask() -> str:
        responses.append(client.request("GET", path, params={"limit": 1}))
        return f"accepted, and GET {path} is allowed"

    if not examination.check("keys and region", ask):
        return False
    examination.check("clock", lambda: _clock(responses[0]))
    examination.check("quota", lambda: _quota(client))
    return True


def may_read(client: Client, path: str) -> str:
    """Whether the key may read a list.

    Raises:
        VoucherifyError: it may not; what to change.
    """
    try:
        client.request("GET", path, params={"limit": 1})
    except AccessError as denied:
        raise VoucherifyError(
            f"{denied} Give the key a role that may read {path}, or do without what needs it."
        ) from None
    return f"GET {path} is allowed"


def examine_file(setting: str, path: str | None) -> str:
    """Whether a file can be written, without writing it.

    Raises:
        VoucherifyError: it cannot.
    """
    place = Path(path or "")
    folder = place.absolute().parent
    if place.exists():
        if not (place.is_file() and os.access(place, os.R_OK | os.W_OK)):
            raise VoucherifyError(f"{setting}: {place} cannot be read and written by this user.")
        return f"{place} can be written"
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise VoucherifyError(f"{setting}: the folder {folder} is missing, or cannot be written.")
    return f"{place} will be made"


def _clock(response: Response) -> str:
    text = response.headers.get("Date") or ""
    try:
        apart = (datetime.now(UTC) - parsedate_to_datetime(text)).total_seconds()
    except (TypeError, ValueError):
        return "the server does not say the time; the bookmark stays behind the newest row"
    if abs(apart) > CLOCK_SECONDS:
        raise VoucherifyError(
            f"The clock here is {apart:+.0f} s from Voucherify's: set it, for example by NTP."
        )
    return "within a minute of Voucherify's"


def _quota(client: Client) -> str:
    usage = client.usage
    if usage.quota_limit is None:
        return "the server does not say how many calls are left"
    if usage.quota_left == 0:
        raise VoucherifyError(
            f"0 of {usage.quota_limit:,} calls are left in this period: run again later, or ask "
            "Voucherify for a larger plan."
        )
    left = "an unknown number" if usage.quota_left is None else f"{usage.quota_left:,}"
    return f"{left} of {usage.quota_limit:,} calls are left in this period"
