"""Each plugin installs alone in each documented way, and works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leaks

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PLUGINS = ("tap-voucherify", "target-voucherify")
CLIENT = "voucherify-client"


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
        # What is not compiled at once is compiled when it is imported.
        done(python, "-m", "pip", "install", "--quiet", "--no-compile", ROOT / plugin)
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


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the plugins as a git repository."""
    folder = tmp_path_factory.mktemp("from-git") / "repository"
    for part in (*PLUGINS, CLIENT):
        kept = shutil.ignore_patterns("__pycache__", "*.egg-info", "voucherify_client")
        ignore = None if part == CLIENT else kept
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    git = ("git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@example.com")
    done("git", "init", "--quiet", folder)
    done(*git, "add", ".")
    done(*git, "commit", "--quiet", "-m", "all")
    return folder


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A fresh clone."""
    done("git", "clone", "--quiet", repository, tmp_path / "checkout")
    return tmp_path / "checkout"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An environment with the dependencies and pip but without the plugins."""
    venv.create(tmp_path / "venv")
    ours = sysconfig.get_path("purelib")
    (theirs,) = (tmp_path / "venv").glob("lib/*/site-packages")
    (theirs / "dependencies.pth").write_text(f"{ours}\n")
    return tmp_path / "venv" / "bin" / "python"


def installed(python: Path, plugin: str) -> str:
    """The paths of the plugin and its client, after a check that both work."""
    done(python.with_name(plugin), "--version")
    package = plugin.replace("-", "_")
    code = f"import {package}.voucherify_client.client as client; print(client.__file__)"
    return done(python, "-c", code).strip()


def pip(python: Path, *arguments: str | Path, **variables: str) -> str:
    return done(
        *(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"),
        *arguments,
        **variables,
    )


def uv(python: Path, *arguments: str | Path) -> str:
    command = Path(sys.executable).with_name("uv")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--python", python)
    return done(command, "pip", "install", *options, *arguments)


@pytest.mark.parametrize("install", [pip, uv])
@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_git_address_with_the_plugins_folder(
    repository: Path, python: Path, plugin: str, install: Callable[..., str]
) -> None:
    install(python, f"git+file://{repository}#subdirectory={plugin}")
    assert "site-packages" in installed(python, plugin)


@pytest.mark.parametrize("install", [pip, uv])
@pytest.mark.parametrize("plugin", PLUGINS)
def test_an_editable_install_sees_changes_of_the_client(
    checkout: Path, python: Path, plugin: str, install: Callable[..., str]
) -> None:
    install(python, "-e", checkout / plugin)
    (checkout / CLIENT / "voucherify_client" / "new.py").write_text("fact = 1\n")
    client = Path(installed(python, plugin))
    assert client.with_name("new.py").exists()
    assert client.is_relative_to(checkout / plugin)


def test_an_editable_install_copies_the_client_where_there_are_no_links(
    checkout: Path, python: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os\ndef refuse(*_, **__):\n    raise OSError('no links')\nos.symlink = refuse\n"
    )
    for _ in range(2):
        pip(python, "-e", checkout / "tap-voucherify", PYTHONPATH=str(tmp_path))
    client = Path(installed(python, "tap-voucherify")).parent
    assert client.is_dir()
    assert not client.is_symlink()


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_wheel_that_is_built_from_an_sdist(
    checkout: Path, python: Path, plugin: str, tmp_path: Path
) -> None:
    pip(python, "-e", checkout / plugin)  # leaves a link, whose files must not be packaged twice
    build = (sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path / "dist")
    subprocess.run(build, cwd=checkout / plugin, check=True, capture_output=True)
    (sdist,) = (tmp_path / "dist").iterdir()
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    pip(python, "--force-reinstall", sdist)
    assert "site-packages" in installed(python, plugin)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_an_archive_of_the_repository(
    repository: Path, python: Path, plugin: str, tmp_path: Path
) -> None:
    archive = tmp_path / "repository.zip"
    command = ("git", "-C", repository, "archive", "--prefix=repository/", "-o", archive, "HEAD")
    done(*command)
    pip(python, f"{plugin} @ file://{archive}#subdirectory={plugin}")
    assert "site-packages" in installed(python, plugin)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugins_folder_alone_says_what_it_lacks(
    checkout: Path, python: Path, plugin: str, tmp_path: Path
) -> None:
    shutil.copytree(checkout / plugin, tmp_path / "alone")
    command = (python, "-m", "pip", "install", "--no-deps", "--no-build-isolation")
    result = subprocess.run(
        [*command, tmp_path / "alone"], capture_output=True, text=True, check=False, timeout=280
    )
    leaks.saw(result.stdout + result.stderr)
    assert result.returncode != 0
    assert f"{plugin} needs voucherify-client beside it" in result.stdout + result.stderr


@pytest.mark.parametrize("way", ["git", "editable"])
def test_meltano_installs_both(repository: Path, tmp_path: Path, way: str) -> None:
    """Install by the repository's URL, or from a checkout."""
    project = tmp_path / "project"
    project.mkdir()
    kinds = {"extractors": "tap-voucherify", "loaders": "target-voucherify"}
    lines = ["version: 1", "project_id: elsewhere", "send_anonymous_usage_stats: false", "plugins:"]
    for kind, plugin in kinds.items():
        git = f"git+file://{repository}#subdirectory={plugin}"
        address = git if way == "git" else f"-e {repository / plugin}"
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
