"""The setting `stream_maps`: what is wrong with it, and what it says about a stream."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import (
    MAPPER_ALIAS_OPTION,
    MAPPER_ELSE_OPTION,
    MAPPER_FILTER_OPTION,
    MAPPER_KEY_PROPERTIES_OPTION,
    MAPPER_SOURCE_OPTION,
)

from target_voucherify.voucherify_client.log_names import column_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

StreamMaps = dict[str, Any]
"""Definitions by stream, alias or pattern; one that is no object removes its stream."""

OPTIONS = (
    MAPPER_ALIAS_OPTION,
    MAPPER_ELSE_OPTION,
    MAPPER_FILTER_OPTION,
    MAPPER_KEY_PROPERTIES_OPTION,
    MAPPER_SOURCE_OPTION,
)


def option_errors(maps: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each option that does not exist: the SDK takes it for a property."""
    for stream, name in _options(maps):
        if name not in OPTIONS:
            nearest = get_close_matches(name, OPTIONS, 1, 0)[0]
            yield (
                f"The setting stream_maps has no option {column_name(name)} "
                f"({column_name(stream)}); the nearest is {nearest}."
            )


def _options(maps: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for stream, definition in maps.items():
        names = [*definition] if isinstance(definition, dict) else []
        for name in (stream, *names):
            if name.startswith("__") and name.endswith("__"):
                yield stream, name


def unused(maps: Mapping[str, Any], streams: Collection[str]) -> list[str]:
    """Streams that a definition is for and that are not among those of the input.

    A pattern may match nothing, and a definition that removes its stream has nothing to do then.
    """
    sources = (_source(name, each) for name, each in maps.items() if isinstance(each, dict))
    return [name for name in sources if name not in streams and not set("*?[") & set(name)]


def names_property(maps: Mapping[str, Any], stream: str, prop: str) -> bool:
    """Whether a definition for a stream says what becomes of a property."""
    return any(
        prop in each and fnmatch(stream, _source(name, each))
        for name, each in maps.items()
        if isinstance(each, dict)
    )


def without_filters(maps: Mapping[str, Any]) -> StreamMaps:
    """The definitions without their filters: what a filter removes is not missing."""
    return _reduced(maps, lambda name: name != MAPPER_FILTER_OPTION)


def only(maps: Mapping[str, Any], properties: Collection[str]) -> StreamMaps:
    """The definitions with the expressions of some properties alone."""
    return _reduced(maps, lambda name: name in OPTIONS or name in properties)


def _reduced(maps: Mapping[str, Any], is_kept: Callable[[str], bool]) -> StreamMaps:
    return {
        stream: {name: rule for name, rule in each.items() if is_kept(name)}
        if isinstance(each, dict)
        else each
        for stream, each in maps.items()
    }


def _source(name: str, definition: Mapping[str, Any]) -> str:
    return str(definition.get(MAPPER_SOURCE_OPTION, name))
