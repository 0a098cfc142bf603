"""Makes the plugins' definitions for Meltano's Hub from `--about --format json`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import yaml
from tables import PLUGINS, kind

ABOUT_THE_HUB: dict[str, Any] = {
    "variant": "voucherify-singer",
    "label": "Voucherify",
    "domain_url": "https://www.voucherify.io",
    "maintenance_status": "beta",
    "quality": "unknown",
    "keywords": ["meltano_sdk", "loyalty", "referrals", "promotions"],
    "log_parser": "singer-sdk",
}
"""Facts that `--about` lacks; the Hub's maintainers set the quality."""


def about(plugin: str) -> dict[str, Any]:
    """The output of `--about`."""
    module = plugin.replace("-", "_")
    printed = subprocess.check_output([sys.executable, "-m", module, "--about", "--format", "json"])
    facts: dict[str, Any] = json.loads(printed)
    return facts


def definition(plugin: str) -> str:
    """The definition as YAML."""
    facts = about(plugin)
    schema = facts["settings"]
    whole = {
        "name": plugin,
        "namespace": plugin.replace("-", "_"),
        **ABOUT_THE_HUB,
        "description": facts["description"],
        "pip_url": plugin,
        "executable": plugin,
        "capabilities": sorted({*facts["capabilities"], *_test(plugin)}),
        "supported_python_versions": facts["supported_python_versions"],
        "settings_group_validation": [schema["required"]],
        "settings": [_setting(name, fact) for name, fact in schema["properties"].items()],
    }
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100).rstrip()


def _test(plugin: str) -> list[str]:
    """`--test` of the tap, which the SDK does not list."""
    return ["test"] if PLUGINS[plugin].__name__.startswith("Tap") else []


def _setting(name: str, fact: dict[str, Any]) -> dict[str, Any]:
    setting = {"name": name, "label": fact["title"], "kind": kind(fact)}
    if fact.get("secret"):
        setting["sensitive"] = True
    if setting["kind"] == "options":
        choices = [value for value in fact["enum"] if value]
        setting["options"] = [{"label": value, "value": value} for value in choices]
    if "default" in fact:
        setting["value"] = fact["default"]
    return {**setting, "description": " ".join(fact["description"].split())}
