"""Brings `voucherify_client` into a plugin: into its wheel, its sdist and its editable install.

Both plugins need the same client and each installs alone, so the client is source that the build
copies, not a distribution. `hatch_build.py` of each plugin loads this file.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "voucherify_client"
HERE = Path(__file__).resolve().parent
IS_SDIST = not (HERE / PACKAGE).is_dir()
"""Whether this file lies in an sdist, whose package has the client inside already."""


class ClientBuildHook(BuildHookInterface):
    """Adds the client as a subpackage of the plugin that is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files of the client, or link them where the build is editable."""
        plugin = self.metadata.core.name.replace("-", "_")
        inside = Path(self.root, plugin, PACKAGE)
        source = inside if IS_SDIST else HERE / PACKAGE
        if version == "editable" and not IS_SDIST:
            _link(source, inside)
        elif version != "editable":
            build_data["force_include"][str(source)] = f"{plugin}/{PACKAGE}"
        if self.target_name == "sdist":
            build_data["force_include"][__file__] = Path(__file__).name


def _link(source: Path, link: Path) -> None:
    """Make the client importable from the plugin's folder, so that changes of it are seen at once.

    Where the file system has no links the files are copied, and a change needs a new install.
    """
    if link.is_symlink() or link.is_file():
        link.unlink()
    elif link.is_dir():
        shutil.rmtree(link)
    try:
        link.symlink_to(Path("..", "..", source.parent.name, source.name), target_is_directory=True)
    except OSError:
        shutil.copytree(source, link, ignore=shutil.ignore_patterns("__pycache__"))
