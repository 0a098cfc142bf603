"""The plugins as processes of this interpreter; their logs go to standard error."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from subprocess import PIPE, Popen, run
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dlt.common import json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Message = dict[str, Any]
"""A Singer message."""

TAP, TARGET = "tap_voucherify", "target_voucherify"


class PluginError(RuntimeError):
    """A plugin did not do all that it should."""

    def __init__(self, module: str, problem: str) -> None:
        super().__init__(f"{module.replace('_', '-')} {problem}: see the end of its log, above.")


@cache
def discover() -> tuple[dict[str, Any], ...]:
    """The streams of the tap as its catalog has them; costs no API call.

    Raises:
        PluginError: the tap does not run.
    """
    discovery = run((sys.executable, "-m", TAP, "--discover"), stdout=PIPE, check=False)
    _raise_for(discovery.returncode, TAP)
    return tuple(json.loadb(discovery.stdout)["streams"])


def read(
    settings: Mapping[str, Any], catalog: Mapping[str, Any], state: Mapping[str, Any]
) -> Iterator[Message]:
    """The messages of one run of the tap, which ends when the iterator is closed.

    Raises:
        PluginError: after the last message of a run that failed.
    """
    files = {"config": settings, "catalog": catalog, "state": state}
    with (
        _options(files) as options,
        Popen((sys.executable, "-m", TAP, *options), stdout=PIPE) as tap,
    ):
        try:
            for line in tap.stdout or ():
                yield json.loadb(line)
        except BaseException:
            tap.terminate()
            raise
    _raise_for(tap.returncode, TAP)


def write(settings: Mapping[str, Any], messages: list[Message]) -> None:
    """Write messages by one run of the target; the last one is a STATE, which must come back.

    Raises:
        PluginError: the run failed, or did not acknowledge all messages.
    """
    text = b"\n".join(map(json.dumpb, messages))
    with _options({"config": settings}) as options:
        line = (sys.executable, "-m", TARGET, *options)
        target = run(line, input=text, stdout=PIPE, check=False)
    _raise_for(target.returncode, TARGET)
    states = target.stdout.splitlines()
    if not states or json.loadb(states[-1]) != messages[-1]["value"]:
        raise PluginError(TARGET, "did not acknowledge every record")


def _raise_for(exit_code: int, module: str) -> None:
    if exit_code:
        raise PluginError(module, f"failed with exit code {exit_code}")


@contextmanager
def _options(files: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Command-line options that name a file each, in a folder that only its owner may read."""
    with TemporaryDirectory(prefix="dlt-voucherify-") as folder:
        options = []
        for name, value in files.items():
            path = Path(folder, f"{name}.json")
            path.write_bytes(json.dumpb(value))
            options += [f"--{name}", str(path)]
        yield options
