"""Unknown settings are found in the configuration and in the environment."""

from __future__ import annotations

import pytest

from target_voucherify.voucherify_client.connection_settings import unknown_settings

SCHEMA = {
    "properties": {
        "dry_run": {"type": ["boolean", "null"]},
        "max_calls": {"type": ["integer", "null"]},
        "mapping": {"type": ["object", "null"]},
    }
}
PREFIX = "TARGET_VOUCHERIFY_"
MELTANO = {"MELTANO_PROJECT_ROOT": "/project"}


def sentences(config: dict[str, object], **environ: str) -> list[str]:
    return list(unknown_settings(config, SCHEMA, PREFIX, environ))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("dryrun", "dry_run"),
        ("dry-run", "dry_run"),
        ("DRY_RUN", "dry_run"),
        ("maxcalls", "max_calls"),
        ("mappings", "mapping"),
    ],
)
def test_an_unknown_setting_has_the_nearest_name(name: str, nearest: str) -> None:
    assert sentences({name: True}) == [f"There is no setting {name}; the nearest is {nearest}."]


@pytest.mark.parametrize("name", ["jane.roe@corp.io", "a\nb", "", "1"])
def test_a_name_that_looks_like_data_is_not_shown(name: str) -> None:
    (error,) = sentences({name: True})
    assert "setting #" in error
    assert "jane" not in error
    assert "\n" not in error


def test_known_settings_and_nulls_are_in_order() -> None:
    assert sentences({"dry_run": True, "mapping": {"a": "b"}, "strange": None}) == []


@pytest.mark.parametrize("name", ["DRYRUN", "DRY_RUNS", "dry_run", "EU_DRY_RUN", "MAPPING_NAME"])
def test_an_unknown_variable_is_an_error(name: str) -> None:
    (error,) = sentences({}, **{f"{PREFIX}{name}": "do-not-show-me"})
    assert error.startswith(f"The environment variable {PREFIX}{name} sets nothing")
    assert "do-not-show-me" not in error


@pytest.mark.parametrize(
    "name",
    [
        f"{PREFIX}DRY_RUN",
        f"{PREFIX}LOGLEVEL",
        f"{PREFIX}_SELECT",
        f"{PREFIX}EU__SELECT",
        f"{PREFIX}SERVICE_HOST",
        f"{PREFIX}PORT_8080_TCP_ADDR",
        PREFIX,
        "TARGET_VOUCHERIFYDRYRUN",
        "TAP_VOUCHERIFY_DRYRUN",
        "MELTANO_DRYRUN",
    ],
)
def test_variables_of_others_are_in_order(name: str) -> None:
    assert sentences({}, **{name: "x"}) == []


@pytest.mark.parametrize(
    "name", ["EU_DRY_RUN", "MAPPING_NAME", "MAPPING_ADDRESS_CITY", "EU_MAPPING_NAME"]
)
def test_meltano_sets_members_and_settings_of_inheriting_plugins(name: str) -> None:
    assert sentences({}, **MELTANO, **{f"{PREFIX}{name}": "x"}) == []


def test_an_unknown_variable_is_an_error_in_meltano_too() -> None:
    assert len(sentences({}, **MELTANO, **{f"{PREFIX}DRYRUN": "true"})) == 1
