"""What is replaced in the SDK is still what was read when it was replaced."""

from __future__ import annotations

import hashlib
import inspect
import logging
from importlib.metadata import version

import pytest
from singer_sdk.plugin_base import BaseSingerReader, PluginBase
from singer_sdk.target_base import Target

from target_voucherify.target import HOOKS, TargetVoucherify
from target_voucherify.voucherify_client import sdk_version

READ = {
    "_process_schema_message": "3aed00332660",
    "_process_record_message": "3374a1544f86",
    "_process_state_message": "096981a853ad",
    "_process_activate_version_message": "c27a9278dd79",
    "_process_batch_message": "09730b1dc880",
    "_handle_termination": "487f2f730921",
    "_validate_config": "0584b9e347e3",
    "append_builtin_config": "1d8a6cfb984f",
    "drain_all": "1da0109210d3",
    "get_sink": "d50a023664a5",
    "get_singer_command": "4c4ec77491af",
    "invoke": "e8b0b974b388",
    "process_endofpipe": "3e2376c121e1",
}


def fingerprint(name: str) -> str:
    """A short hash of a hook's code in the installed SDK, in each class that defines it."""
    code = "".join(
        inspect.getsource(vars(owner)[name])
        for owner in (Target, BaseSingerReader, PluginBase)
        if name in vars(owner)
    )
    assert code, f"the SDK has no {name} any more"
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def test_the_hooks_of_the_sdk_are_those_that_were_read() -> None:
    """If this fails after an upgrade: read the change, adapt the override, note the hash."""
    assert {name: fingerprint(name) for name in HOOKS} == READ


def test_every_private_member_that_is_replaced_is_guarded() -> None:
    replaced = {
        name
        for name in vars(TargetVoucherify)
        if name in vars(Target) or name in vars(BaseSingerReader) or name in vars(PluginBase)
    }
    machinery = {"__init__", "__doc__", "__module__", "__abstractmethods__", "_abc_impl"}
    declared = {
        "__annotations__",
        "capabilities",
        "config_jsonschema",
        "get_sink_class",
        "message_reader_class",
        "name",
        "package_name",
    }
    assert replaced - machinery - declared <= set(HOOKS)


def test_the_installed_sdk_is_the_newest_that_was_tested() -> None:
    assert version("singer-sdk") == sdk_version.NEWEST_TESTED


@pytest.mark.parametrize(
    ("installed", "warnings"),
    [("0.54.8", 0), ("0.54.9", 0), ("0.54.10", 1), ("0.55.0a1", 1), ("1.0", 1)],
)
def test_a_newer_sdk_warns_once(
    installed: str,
    warnings: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sdk_version, "version", lambda _name: installed)
    sdk_version.warn_if_untested(logging.getLogger("sdk"))
    assert len(caplog.records) == warnings
