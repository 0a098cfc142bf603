"""The state that a run is given: its forms, what is wrong with it, and whose it is."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from tap_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Mapping

STORE_POSITION: Mapping[str, type] = {"store": str, "reader": str, "position": int}
"""The members of a position in the webhook store."""


def value_of(state: Any) -> dict[str, Any]:
    """The state itself, also of a whole STATE message or of what `meltano state get` prints.

    Raises:
        VoucherifyError: it is not a state, which would otherwise be a silent full read.
    """
    if isinstance(state, dict):
        if state.get("type") == "STATE":
            return value_of(state.get("value"))
        if "singer_state" in state:
            return value_of(state["singer_state"])
        if not state or _are_bookmarks(state.get("bookmarks")):
            return state
    raise VoucherifyError(
        "The state is not one of this tap: pass the last STATE line of a run, or its `value`, with "
        "--state; to read everything again, leave the state out."
    )


def _are_bookmarks(bookmarks: Any) -> bool:
    return isinstance(bookmarks, dict) and all(map(_is_stream_state, bookmarks.values()))


def _is_stream_state(state: Any) -> bool:
    if not isinstance(state, dict):
        return False
    store = state.get("webhooks")
    return store is None or (
        isinstance(store, dict)
        and all(isinstance(store.get(name), kind) for name, kind in STORE_POSITION.items())
    )


def project_digest(application_id: str) -> str:
    """What a state says about the project that it belongs to."""
    return blake2b(application_id.encode(), digest_size=8).hexdigest()


def refuse_foreign(state: Mapping[str, Any], application_id: str) -> None:
    """Raise for the state of another project: its bookmarks would skip rows of this one.

    Raises:
        VoucherifyError: it names another project.
    """
    if state.get("project") not in {None, project_digest(application_id)}:
        raise VoucherifyError(
            "The state belongs to another project, or to another key pair of this one: use the "
            "state of this project; if only the key pair was replaced, remove `project` from it."
        )
