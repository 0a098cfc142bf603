"""Makes the tables that documents repeat from the code; `make docs` writes them with `cog`."""

from __future__ import annotations

import json
import sys
from typing import Any

from tap_voucherify.streams.catalog import STREAMS
from tap_voucherify.tap import TapVoucherify
from tap_voucherify.voucherify_client.metrics import METRICS
from target_voucherify.entities.entity import ENTITIES
from target_voucherify.target import TargetVoucherify
from target_voucherify.writing.auto import MAX_SINGLE

PLUGINS = {"tap-voucherify": TapVoucherify, "target-voucherify": TargetVoucherify}

KINDS = {
    "string": "string",
    "integer": "integer",
    "number": "decimal",
    "boolean": "boolean",
    "array": "array",
    "object": "object",
}
"""The JSON type of a setting → Meltano's kind."""


def settings(plugin: str) -> list[tuple[str, dict[str, Any], bool]]:
    """Name, JSON schema and whether it is required, for each setting of the plugin itself."""
    schema = PLUGINS[plugin].config_jsonschema
    required = schema.get("required", [])
    return [(name, fact, name in required) for name, fact in schema["properties"].items()]


def settings_table(plugin: str) -> str:
    """A Markdown table: setting, default, meaning."""
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, fact, required in settings(plugin):
        default = "required" if required else _shown(fact.get("default"))
        lines.append(f"| `{name}` | {default} | {fact['description']} |")
    return "\n".join(lines)


def entities_table() -> str:
    """A Markdown table: entity, its fields, its requests by `write_path`, the default first."""
    lines = ["| entity | fields besides `metadata.<key>` | `write_path` |", "| --- | --- | --- |"]
    for name, entity in ENTITIES.items():
        fields = [f"`{field}`" for field in ("source_id", *entity.fields(0))]
        for whole, members in entity.objects.items():
            fields.append(f"`{whole}.<…>` with {', '.join(f'`{one}`' for one in members)}")
        most = f", {entity.most_rows:,} at once" if entity.most_rows < sys.maxsize else ""
        requests = {
            "bulk": f"`bulk`: `POST {entity.bulk}`{most}",
            "single": f"`single`: `POST {entity.one}`, one call each",
            "auto": f"`auto`: `single` for up to {MAX_SINGLE}, `bulk` for more",
        }
        paths = "; ".join(requests[path] for path in entity.write_paths)
        lines.append(f"| `{name}` | {', '.join(fields)} | {paths} |")
    return "\n".join(lines)


def metrics_table() -> str:
    """A Markdown table: metric, label besides `pipeline`, kind, meaning."""
    lines = ["| metric | by | kind | |", "| --- | --- | --- | --- |"]
    for plugin, metrics in METRICS.items():
        for one in metrics:
            label = f"`{one.label}`" if one.label else ""
            lines.append(
                f"| `voucherify_{plugin}_{one.name}` | {label} | {one.kind} | {one.meaning} |"
            )
    return "\n".join(lines)


def streams_table() -> str:
    """A Markdown table: stream, key, replication, meaning."""
    lines = ["| stream | key | replication | |", "| --- | --- | --- | --- |"]
    for stream in STREAMS:
        keys = ", ".join(f"`{key}`" for key in stream.primary_keys)
        lines.append(
            f"| `{stream.name}` | {keys} | {replication(stream)} | {_first_line(stream)} |"
        )
    return "\n".join(lines)


def meltano_settings(plugin: str) -> str:
    """The settings of a plugin as the list that `meltano.yml` holds."""
    lines = []
    for name, fact, _ in settings(plugin):
        lines.append(f"    - name: {name}")
        lines.append(f"      label: {fact['title']}")
        lines.append(f"      kind: {kind(fact)}")
        if fact.get("secret"):
            lines.append("      sensitive: true")
        if fact.get("enum"):
            lines.append("      options:")
            lines += [
                f"      - {{label: {value}, value: {value}}}" for value in fact["enum"] if value
            ]
        if "default" in fact:
            lines.append(f"      value: {json.dumps(fact['default'])}")
        lines.append(f"      description: {json.dumps(fact['description'])}")
    return "\n".join(lines)


def replication(stream: type) -> str:
    """How a stream is replicated, for a table."""
    key = stream.replication_key
    return f"incremental on `{key}`" if key else "full table"


def kind(fact: dict[str, Any]) -> str:
    """Meltano's kind of a setting."""
    if fact.get("enum"):
        return "options"
    if fact.get("format") == "date-time":
        return "date_iso8601"
    types = [kind for kind in fact["type"] if kind != "null"]
    return KINDS[types[0]]


def _shown(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, list):
        return "see below"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _first_line(stream: type) -> str:
    return (stream.__doc__ or "").strip().splitlines()[0]


def reward_event_types() -> str:
    """The default of `reward_event_types`, as a list."""
    types = {name: fact for name, fact, _ in settings("tap-voucherify")}["reward_event_types"]
    return "\n".join(f"- `{event}`" for event in types["default"])
