"""The definitions for Meltano's Hub are valid and agree with the code and `meltano.yml`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tap_voucherify.tap import TapVoucherify
from target_voucherify.target import TargetVoucherify

ROOT = Path(__file__).parents[2]
MELTANO: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_text())
PLUGINS = {
    "extractors": ("tap-voucherify", TapVoucherify),
    "loaders": ("target-voucherify", TargetVoucherify),
}
HUBS_OWN = {
    "type": "object",
    "required": ["quality", "variant", "namespace", "name"],
    "properties": {
        "maintenance_status": {"enum": ["active", "beta", "development", "inactive", "unknown"]},
        "quality": {"enum": ["gold", "silver", "bronze", "unknown"]},
        "domain_url": {"type": "string", "pattern": "^https://"},
        "keywords": {"type": "array", "items": {"type": "string"}},
        "supported_python_versions": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^3\.\d+$"},
            "minItems": 1,
        },
        "log_parser": {"type": "string"},
    },
}
"""Keys that the Hub requires beyond Meltano's schema of a plugin."""

each_kind = pytest.mark.parametrize("kind", PLUGINS)


def definition(kind: str) -> dict[str, Any]:
    text = (ROOT / "tools" / "hub" / kind / f"{PLUGINS[kind][0]}.yml").read_text()
    read: dict[str, Any] = yaml.safe_load(text)
    return read


@each_kind
def test_the_definition_has_the_hubs_form(kind: str) -> None:
    schema = json.loads(files("meltano.schemas").joinpath("meltano.schema.json").read_text())
    plugin_of_meltano = {**schema, "$ref": f"#/$defs/plugins/{kind}"}
    for key in ("type", "properties", "additionalProperties"):
        plugin_of_meltano.pop(key)
    plugin = definition(kind)
    Draft202012Validator(HUBS_OWN).validate(plugin)
    for key in set(HUBS_OWN["properties"]) - {"supported_python_versions"}:
        plugin.pop(key, None)
    plugin.pop("supported_python_versions")

    Draft202012Validator(plugin_of_meltano).validate(plugin)


@each_kind
def test_the_definition_names_every_setting_with_its_kind(kind: str) -> None:
    _, plugin = PLUGINS[kind]
    properties = plugin.config_jsonschema["properties"]
    settings = {setting["name"]: setting for setting in definition(kind)["settings"]}

    assert set(properties) <= set(settings)
    assert [name for name, s in settings.items() if not (s["label"] and s["description"])] == []
    secret = {name for name, fact in properties.items() if fact.get("secret")}
    assert {name for name, s in settings.items() if s.get("sensitive")} == secret


@each_kind
def test_meltano_yml_says_the_same(kind: str) -> None:
    name, _ = PLUGINS[kind]
    hub = definition(kind)
    project = next(plugin for plugin in MELTANO["plugins"][kind] if plugin["name"] == name)
    settings = {setting["name"]: setting for setting in hub["settings"]}

    assert set(project["capabilities"]) <= set(hub["capabilities"])
    for key in ("namespace", "executable"):
        assert project[key] == hub[key]
    for setting in project["settings"]:
        assert setting == settings[setting["name"]]
