"""Each plugin installs alone from its folder, with plain pip and with uv, and works."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import leaks

ROOT = Path(__file__).parents[2]
PLUGINS = ("tap-voucherify", "target-voucherify")


def done(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    leaks.saw(result.stdout + result.stderr)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_bare_environment_takes_the_plugin_from_its_folder(
    plugin: str, installer: str, tmp_path: Path
) -> None:
    venv.create(tmp_path, with_pip=installer == "pip")
    python = tmp_path / "bin" / "python"
    if installer == "pip":
        done(python, "-m", "pip", "install", "--quiet", ROOT / plugin)
    else:
        uv = Path(sys.executable).with_name("uv")
        done(uv, "pip", "install", "--quiet", "--python", python, ROOT / plugin)

    about = json.loads(done(tmp_path / "bin" / plugin, "--about", "--format=json"))

    assert about["name"] == plugin
    assert about["version"] == "0.1.0"
    assert {"application_id", "secret_key", "api_url"} <= set(about["settings"]["properties"])
