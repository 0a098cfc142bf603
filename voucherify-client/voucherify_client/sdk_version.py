"""Whether the installed Singer SDK is one that the plugins were tested with."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

NEWEST_TESTED = "0.54.9"


def warn_if_untested(log: logging.Logger) -> None:
    """Warn of a newer SDK: the plugins replace private hooks, which may have changed."""
    installed = version("singer-sdk")
    if not is_tested(installed):
        log.warning(
            "singer-sdk %s is newer than %s, the newest that this version was tested with: if a "
            "run fails, install that one.",
            installed,
            NEWEST_TESTED,
        )


def is_tested(release: str) -> bool:
    """Whether the plugins were tested with this release of the SDK, or with a newer one."""
    return _numbers(release) <= _numbers(NEWEST_TESTED)


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)[:3]]
