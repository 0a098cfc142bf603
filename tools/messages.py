"""Collects the messages of the plugins that ask for action from their code, by topic."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tap_voucherify.voucherify_client.responses import ADVICE_BY_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = {"tap": "tap-voucherify/tap_voucherify", "target": "target-voucherify/target_voucherify"}
CLIENT = ROOT / "voucherify-client" / "voucherify_client"

INTERNAL_ERRORS = {"TypeError", "AssertionError", "RefusedError"}
"""Errors for developers, or for the sender of a webhook."""

ABOUT_A_RECORD = {"ValueError", "NotACustomerError"}
"""Errors that refuse one record and not the run."""

TOPICS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["topic"]
"""Headings, patterns of their messages, and the advice, written by hand."""

REFUSES = "refuses the record"
EFFECTS = {"warning": "goes on", "critical": "ends the run", "error": "ends the run"}


@dataclass(frozen=True, order=True)
class Message:
    """A message as in the code, with `…` for values."""

    text: str
    effect: str
    plugin: str

    @property
    def is_for_users(self) -> bool:
        """Whether users see it: the tap, unlike the target, refuses no records."""
        return self.effect != REFUSES or self.plugin == "target"


def messages() -> Iterator[Message]:
    """All messages of both plugins."""
    for plugin, folder in PLUGINS.items():
        for status, advice in ADVICE_BY_STATUS.items():
            yield Message(f"… answered {int(status)}: {advice}.", "ends the run", plugin)
        for file in sorted([*(ROOT / folder).glob("**/*.py"), *CLIENT.glob("*.py")]):
            if "voucherify_client" in file.parts and CLIENT not in file.parents:
                continue  # the link of an editable install, which some versions of Python follow
            found_messages = [Message(*words, plugin) for words in _calls_with_text(file)]
            yield from (message for message in found_messages if message.is_for_users)


def topic(text: str) -> str:
    """The heading for a message.

    Raises:
        LookupError: no topic matches.
    """
    for each in TOPICS:
        if re.search(each["belongs"], text):
            return str(each["heading"])
    raise LookupError(f"tools/messages.toml has no topic for the message: {text}")


def page() -> str:
    """All topics with their messages, as Markdown."""
    found: dict[str, dict[tuple[str, str], set[str]]] = {}
    for message in messages():
        lines = found.setdefault(topic(message.text), {})
        lines.setdefault((message.text, message.effect), set()).add(message.plugin)
    return "\n\n".join(_section(each, found[each["heading"]]) for each in TOPICS)


def _section(topic: dict[str, str], lines: dict[tuple[str, str], set[str]]) -> str:
    rows = [
        f"| {_shown(text)} | {effect} | {' and '.join(sorted(plugins))} |"
        for (text, effect), plugins in sorted(lines.items())
    ]
    head = [f"## {topic['heading']}", "", topic["means"], ""]
    return "\n".join([*head, "| message | | of |", "| --- | --- | --- |", *rows])


def _calls_with_text(file: Path) -> Iterator[tuple[str, str]]:
    """The text and the effect of each message in a module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and (
            found_messages := _message_of(node, file.name == "errors.py")
        ):
            yield found_messages


def _message_of(call: ast.Call, in_errors: bool) -> tuple[str, str] | None:  # noqa: FBT001 - one of two
    """The text and the effect of a call that raises or logs; `None` for other calls."""
    name = ast.unparse(call.func).rpartition(".")[2]
    text = _text(call.args[0]) if call.args else ""
    words = re.sub(r"%[.\d]*[sdf]", "…", text)
    if not re.search(r"[a-z]{2}", words) or name in INTERNAL_ERRORS:
        return None
    if name in ABOUT_A_RECORD:
        return words, REFUSES
    if name.endswith("Error") or (in_errors and name == "__init__"):
        return words, "ends the run"
    return (words, EFFECTS[name]) if name in EFFECTS else None


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.List):
        return "; ".join(_text(item) for item in node.elts)
    return "…"


def _shown(text: str) -> str:
    """A message as a table cell."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("{", "&#123;")
