"""Each plugin installs alone, in each of the ways that the documents name, and works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import leaks

ROOT = Path(__file__).parents[2]
PLUGINS = ("tap-voucherify", "target-voucherify")


def done(*command: str | Path, **variables: str) -> str:
    env = {**os.environ, **variables}
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=280, env=env
    )
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


@pytest.mark.parametrize("plugin", PLUGINS)
def test_uv_installs_the_plugin_as_a_tool(plugin: str, tmp_path: Path) -> None:
    folders = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    uv = Path(sys.executable).with_name("uv")

    done(uv, "tool", "install", "--quiet", f"{plugin} @ {ROOT / plugin}", **folders)

    assert f"{plugin} v0.1.0" in done(tmp_path / "bin" / plugin, "--version")


def test_meltano_installs_both_from_a_git_address(tmp_path: Path) -> None:
    """As a project elsewhere does: the repository's address and the plugin's folder in it."""
    repository, project = tmp_path / "repository", tmp_path / "project"
    for plugin in PLUGINS:
        kept = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / plugin, repository / plugin, ignore=kept)
    git = ("git", "-C", repository, "-c", "user.name=x", "-c", "user.email=x@example.com")
    done("git", "init", "--quiet", repository)
    done(*git, "add", ".")
    done(*git, "commit", "--quiet", "-m", "all")
    project.mkdir()
    kinds = {"extractors": "tap-voucherify", "loaders": "target-voucherify"}
    lines = ["version: 1", "project_id: from-git", "send_anonymous_usage_stats: false", "plugins:"]
    for kind, plugin in kinds.items():
        address = f"git+file://{repository}#subdirectory={plugin}"
        lines += [f"  {kind}:", f"  - name: {plugin}", f"    namespace: {plugin.replace('-', '_')}"]
        lines += [f"    pip_url: {address}", f"    executable: {plugin}"]
    (project / "meltano.yml").write_text("\n".join(lines))
    meltano = Path(sys.executable).with_name("meltano")

    done(meltano, "--cwd", project, "install")

    for plugin in PLUGINS:
        about = done(meltano, "--cwd", project, "invoke", plugin, "--about", "--format=json")
        assert json.loads(about[about.index("{") :])["name"] == plugin


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_package_carries_the_licence(plugin: str) -> None:
    assert (ROOT / plugin / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
