"""Builds both packages, checks and installs each, and writes bills of materials.

`make dist` leaves `dist/` as a release would publish it, and `dist-sbom/`. The arguments are
`build`, `check` or `all`, and a tag that is compared with the version of the packages. Only `check`
installs packages that are not locked, so a release builds and checks on different machines.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST, SBOM = ROOT / "dist", ROOT / "dist-sbom"
PLUGINS = ("tap-voucherify", "target-voucherify")
BIN = Path(sys.executable).parent


def main() -> None:
    """Build, check, and print the files."""
    what, tag = [*sys.argv[1:], "", ""][:2]
    if what != "check":
        build()
    if what != "build":
        SBOM.mkdir(exist_ok=True)
        for package in sorted(DIST.iterdir()):
            check(package, tag)
    for made in (*sorted(DIST.iterdir()), *sorted(SBOM.glob("*"))):
        print(f"{made.relative_to(ROOT)}: {made.stat().st_size // 1024} kB")


def build() -> None:
    """Build both packages into an empty folder, and check their metadata."""
    for folder in (DIST, SBOM):
        shutil.rmtree(folder, ignore_errors=True)
    DIST.mkdir()
    # The same commit gives the same bytes.
    date = output("git", "log", "-1", "--format=%ct").strip()
    for plugin in PLUGINS:
        run(
            BIN / "python",
            "-m",
            "build",
            "-q",
            "--no-isolation",
            "-o",
            DIST,
            ROOT / plugin,
            at=date,
        )
    run(BIN / "twine", "check", "--strict", *sorted(DIST.iterdir()))


def check(package: Path, tag: str) -> None:
    """Install a package in an empty environment; for a wheel write the bill of materials.

    Raises:
        SystemExit: `--about` has another name, or another version than the tag.
    """
    plugin = next(name for name in PLUGINS if package.name.startswith(name.replace("-", "_")))
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin/python"
        run(python, "-m", "pip", "install", "-q", package)
        about = json.loads(output(Path(folder) / "bin" / plugin, "--about", "--format=json"))
        tag = tag or f"v{about['version']}"
        if (about["name"], f"v{about['version']}") != (plugin, tag):
            sys.exit(f"{package.name} is {about['name']} {about['version']}; the tag is {tag}.")
        if package.suffix == ".whl":
            run(python, "-m", "pip", "uninstall", "-q", "-y", "pip", "setuptools")
            list_parts(plugin, python)


def list_parts(plugin: str, python: Path) -> None:
    """Write the software bill of materials of an environment that holds one plugin."""
    project = ROOT / plugin / "pyproject.toml"
    run(
        *(BIN / "cyclonedx-py", "environment", "--output-reproducible", "--pyproject", project),
        *("--of", "JSON", "-o", SBOM / f"{plugin}.cdx.json", python),
    )


def run(*command: str | Path, at: str = "0") -> None:
    """Run a command; exit if it fails."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": at}
    if subprocess.run(command, cwd=ROOT, env=env, check=False).returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def output(*command: str | Path) -> str:
    """The output of a command."""
    return subprocess.check_output(command, cwd=ROOT, text=True)


if __name__ == "__main__":
    main()
