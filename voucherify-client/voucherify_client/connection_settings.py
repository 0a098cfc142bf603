"""The settings that both plugins share, and what makes settings wrong."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from .auth import HEADER_VALUE
from .errors import SettingsError
from .log_names import column_name
from .urls import api_url_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

KEY_PAIR = ("application_id", "secret_key")

BOOLEANS = frozenset(("true", "1", "yes", "on", "false", "0", "no", "off", ""))
INTEGER = re.compile(r"\s*-?\d+\s*", re.ASCII)
NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*", re.ASCII)

OF_OTHERS = re.compile(r"(.*_)?_.+|LOGLEVEL|SERVICE_(HOST|PORT).*|PORT(_\d.*)?")
"""Names of variables, without the plugin's prefix, that other programs use: Meltano's extras such
as `__SELECT`, the SDK's log level, and what Kubernetes sets for a service of the plugin's name."""


def settings_schema(own: Path) -> dict[str, Any]:
    """The JSON schema of a plugin's settings.

    Args:
        own: JSON file with the schema of each setting besides those of the connection.
    """
    connection = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    last = {name: connection.pop(name) for name in ("max_calls", "metrics_path")}
    return {
        "type": "object",
        "properties": {**connection, **json.loads(own.read_text("utf-8")), **last},
        "required": list(KEY_PAIR),
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }


def stripped(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings of the connection without blanks around them, which a file often adds."""
    return {
        name: value.strip()
        for name in (*KEY_PAIR, "api_url")
        if isinstance(value := config.get(name), str)
    }


def config_errors(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a configuration, a sentence each, that names settings and never values.

    Args:
        config: the settings as given, without nulls.
        schema: JSON schema of all settings, those of the SDK included. The messages of the
            validator repeat values, secrets included, so they are not used.
    """
    for error in jsonschema.Draft202012Validator(dict(schema)).iter_errors(dict(config)):
        yield _message_for(error)
    for name in KEY_PAIR:
        if config.get(name) and not HEADER_VALUE.fullmatch(str(config[name])):
            yield (
                f"The setting {name} holds a line break or another character that no HTTP header "
                "can carry: copy it again from Voucherify's Project settings."
            )
    address_error = api_url_error(str(config["api_url"]))
    if address_error:
        yield address_error


def unknown_settings(
    config: Mapping[str, Any], schema: Mapping[str, Any], prefix: str, environ: Mapping[str, str]
) -> Iterator[str]:
    """A sentence for each setting that does not exist, with the nearest one that does.

    Args:
        config: the settings as given; null counts as not given.
        schema: JSON schema of all settings, those of the SDK included.
        prefix: of the plugin's environment variables, such as `TAP_VOUCHERIFY_`.
        environ: the environment. Its variables are checked even where they are not read: Meltano
            reads those that it knows, and drops the others without a word.
    """
    known = schema["properties"]
    for name, value in config.items():
        if name not in known and value is not None:
            nearest = _nearest(name, known)
            yield f"There is no setting {column_name(name)}; the nearest is {nearest}."
    variables = {name.upper().replace("-", "_"): name for name in known}
    objects = [name for name in variables if "object" in known[variables[name]].get("type", ())]
    in_meltano = "MELTANO_PROJECT_ROOT" in environ
    for variable in environ:
        name = variable.removeprefix(prefix)
        if name in {variable, ""} or name in variables or OF_OTHERS.fullmatch(name):
            continue
        if in_meltano and _is_of_meltano(name, variables, objects):
            continue
        yield (
            f"The environment variable {prefix}{column_name(name)} sets nothing; the nearest is "
            f"{prefix}{_nearest(name.upper(), variables)}."
        )


@contextmanager
def checked_environment(schema: Mapping[str, Any], prefix: str, *, is_read: bool) -> Iterator[None]:
    """Refuse variables with values that the SDK misreads or fails on while it parses them.

    Args:
        schema: JSON schema of all settings.
        prefix: of the plugin's environment variables.
        is_read: whether the SDK reads the environment; its `.env` is there only afterwards.

    Raises:
        SettingsError: naming the variables.
    """
    failed: Exception | None = None
    try:
        yield
    except (ValueError, SettingsError) as error:
        failed = error
    errors = list(environment_errors(schema, prefix, os.environ)) if is_read else []
    if errors:
        raise SettingsError(" ".join(errors)) from None
    if failed is not None:
        raise failed


def environment_errors(
    schema: Mapping[str, Any], prefix: str, environ: Mapping[str, str]
) -> Iterator[str]:
    """A sentence for each variable whose value is not of its setting's type.

    The SDK takes any text but a few for false, and a run that should write nothing writes.
    """
    for name, definition in schema["properties"].items():
        variable = f"{prefix}{name.upper().replace('-', '_')}"
        value, types = environ.get(variable), definition.get("type", ())
        if value is None:
            continue
        if "boolean" in types and value.lower() not in BOOLEANS:
            yield f"The environment variable {variable} must be true or false."
        elif "integer" in types and not INTEGER.fullmatch(value):
            yield f"The environment variable {variable} must be a whole number."
        elif "number" in types and not NUMBER.fullmatch(value):
            yield f"The environment variable {variable} must be a number."


def numbers(
    config: Mapping[str, Any], schema: Mapping[str, Any], prefix: str, environ: Mapping[str, str]
) -> dict[str, float]:
    """The numbers that come from the environment, which the SDK leaves as text."""
    return {
        name: float(value)
        for name, value in config.items()
        if isinstance(value, str)
        and "number" in schema["properties"].get(name, {}).get("type", ())
        and environ.get(f"{prefix}{name.upper()}") == value
        and NUMBER.fullmatch(value)
    }


def _is_of_meltano(name: str, variables: Iterable[str], objects: Iterable[str]) -> bool:
    """Whether it is a member of an object, or a setting of a plugin that inherits from this one."""
    parts = f"_{name}"
    return any(parts.endswith(f"_{known}") for known in variables) or any(
        f"_{known}_" in parts for known in objects
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    return get_close_matches(name, known, 1, 0)[0]


def _message_for(error: jsonschema.ValidationError) -> str:
    name = ".".join(str(part) for part in error.absolute_path)
    rule: Any = error.validator_value
    if error.validator == "required":
        given: Any = error.instance
        missing = [f"{name}.{key}" if name else key for key in rule if key not in given]
        return f"Missing settings: {', '.join(missing)}."
    if error.validator == "enum":
        return f"The setting {name} must be {' or '.join(value for value in rule if value)}."
    return f"The setting {name} does not fit: {error.validator} must be {rule!r}."
