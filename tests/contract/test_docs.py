"""Documents agree with the code on settings, streams, jobs, versions, make targets and links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_voucherify.settings import SETTINGS as TAP_SETTINGS
from tap_voucherify.streams.catalog import STREAMS
from target_voucherify.settings import SETTINGS as TARGET_SETTINGS

ROOT = Path(__file__).parents[2]
PLUGINS = {"tap-voucherify": TAP_SETTINGS, "target-voucherify": TARGET_SETTINGS}
MELTANO = yaml.safe_load((ROOT / "meltano.yml").read_text())
BUILT_IN = re.compile(
    r"stream_map|flatten|faker|batch_config|validate_records|load_method|add_record"
)

settings_of_the_pair = pytest.mark.parametrize(
    ("plugin", "name", "fact"),
    [
        pytest.param(plugin, name, fact, id=f"{plugin} {name}")
        for plugin, schema in PLUGINS.items()
        for name, fact in schema["properties"].items()
        if not BUILT_IN.match(name)
    ],
)


def in_meltano(plugin: str) -> dict[str, dict[str, Any]]:
    kind = "extractors" if plugin.startswith("tap") else "loaders"
    definition = next(p for p in MELTANO["plugins"][kind] if p["name"] == plugin)
    return {setting["name"]: setting for setting in definition["settings"]}


@settings_of_the_pair
def test_each_setting_stands_in_the_readme_and_in_meltano_yml(
    plugin: str, name: str, fact: dict[str, Any]
) -> None:
    readme = (ROOT / plugin / "README.md").read_text()

    assert f"`{name}`" in readme
    assert in_meltano(plugin)[name].get("value") == fact.get("default")
    assert in_meltano(plugin)[name].get("sensitive", False) == fact.get("secret", False)
    assert fact["title"]
    assert fact["description"]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_meltano_yml_names_no_setting_that_the_code_has_not(plugin: str) -> None:
    kind = "extractors" if plugin.startswith("tap") else "loaders"
    names = set(PLUGINS[plugin]["properties"])
    used = {
        name
        for definition in MELTANO["plugins"][kind]
        if plugin in {definition["name"], definition.get("inherit_from")}
        for name in definition.get("config", {})
    }

    assert set(in_meltano(plugin)) <= names
    assert used <= names


def test_each_stream_stands_in_the_readme() -> None:
    readme = (ROOT / "tap-voucherify" / "README.md").read_text()

    assert [s.name for s in STREAMS if f"`{s.name}`" not in readme] == []


def test_the_readme_names_every_job_and_every_variable_of_production() -> None:
    readme = (ROOT / "README.md").read_text()
    variables = re.findall(r"\$\{(\w+)\}", (ROOT / "meltano.yml").read_text())

    assert [job["name"] for job in MELTANO["jobs"] if job["name"] not in readme] == []
    assert {v for v in variables if f"`{v}`" not in readme} <= {"MELTANO_PROJECT_ROOT"}


def test_every_job_has_a_schedule() -> None:
    assert {s["job"] for s in MELTANO["schedules"]} == {job["name"] for job in MELTANO["jobs"]}


def test_both_plugins_and_the_changelog_have_one_version() -> None:
    versions = {
        tomllib.loads((ROOT / plugin / "pyproject.toml").read_text())["project"]["version"]
        for plugin in PLUGINS
    }
    released = re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert versions == {released[0]}


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    named = {
        target
        for document in documents
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE)
    }

    assert named <= targets


def test_every_link_between_documents_leads_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    dead = [
        f"{document.relative_to(ROOT)}: {link}"
        for document in documents
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", document.read_text())
        if not (document.parent / link).exists()
    ]

    assert dead == []


def test_the_list_of_decisions_has_each_with_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    table = (folder / "README.md").read_text()

    for decision in folder.glob("0*.md"):
        number, _, title = decision.read_text().splitlines()[0].removeprefix("# ").partition(". ")
        assert f"| [{number}]({decision.name}) | {title} |" in table


def test_every_file_that_contributing_names_exists() -> None:
    sections = (ROOT / "CONTRIBUTING.md").read_text().split("\n### In `")[1:]
    named = [
        (section.partition("`")[0], name)
        for section in sections
        for name in re.findall(r"`([\w/-]+(?:\.py|/))`", section.partition("\n## ")[0])
    ]

    assert len(named) > 40
    assert [n for n in named if not ((ROOT / n[0] / n[1]).exists() or (ROOT / n[1]).exists())] == []
