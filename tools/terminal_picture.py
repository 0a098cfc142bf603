"""Draw what `voucherify-sandbox certify` shows in a terminal, as a picture for docs/certify.md.

The project is a sandbox that answers with the readings of a file.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.readings import from_file

ROOT = Path(__file__).resolve().parents[1]
FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""Fonts that a picture would load from elsewhere."""


def main() -> None:
    """Write the picture that is named first, of the project whose readings are named second."""
    picture, readings = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        shown = _certified(Readings(**from_file(readings)), folder).replace(folder, ".")
    columns = max(map(len, shown.splitlines()))
    console = Console(record=True, width=columns, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(Text.from_ansi(shown), no_wrap=True)
    drawn = console.export_svg(title="voucherify-sandbox certify --throw-away", unique_id="certify")
    picture.write_text(FONTS.sub("", drawn))


def _certified(readings: Readings, folder: str) -> str:
    """What a probe prints in a terminal."""
    with Sandbox(readings=readings) as sandbox:
        keys = {
            "VOUCHERIFY_APPLICATION_ID": sandbox.application_id,
            "VOUCHERIFY_SECRET_KEY": sandbox.secret_key,
        }
        line = [str(Path(sys.executable).with_name("voucherify-sandbox")), "certify"]
        options = ["--api-url", sandbox.url, "--throw-away", "--customers", "0", "--out", folder]
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [*line, *options], env={**os.environ, **keys}, stdout=follower, stderr=follower
        )
        os.close(follower)
        shown = b""
        while part := _read(leader):
            shown += part
        process.wait()
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # nobody has the other end open any more
        return b""


if __name__ == "__main__":
    main()
