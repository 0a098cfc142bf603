"""What is replaced in the SDK is still what was read when it was replaced."""

from __future__ import annotations

import hashlib
import inspect

from singer_sdk import Stream, Tap
from singer_sdk.plugin_base import PluginBase

from tap_voucherify.streams import stream
from tap_voucherify.streams.stream import HOOKS, GracefulTap, VoucherifyStream

SDK = (Stream, Tap, PluginBase)

READ = {
    "_increment_stream_state": "cabc0edb2fd4",
    "_write_starting_replication_value": "0a24e5d05cd5",
    "_sync_records": "8928dc7f50e9",
    "_write_state_message": "f82ecd8d1698",
    "_handle_termination": "a31d1a408d2d",
    "_sync_batches": "a42df0f3a087",
}


def fingerprint(name: str) -> str:
    """A short hash of a hook's code in the installed SDK, in each class that defines it."""
    code = "".join(inspect.getsource(vars(owner)[name]) for owner in SDK if name in vars(owner))
    assert code, f"the SDK has no {name} any more"
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def test_the_hooks_of_the_sdk_are_those_that_were_read() -> None:
    """When this fails after an upgrade: read the change, adapt `stream.py`, note the hash."""
    assert {name: fingerprint(name) for name in HOOKS} == READ


def test_every_private_member_that_is_replaced_is_guarded() -> None:
    ours = {*vars(VoucherifyStream), *vars(GracefulTap)}
    private = {name for name in ours if name.startswith("_") and not name.startswith("__")}
    of_the_sdk = {name for name in private if any(name in vars(owner) for owner in SDK)}

    assert of_the_sdk - {"_abc_impl"} <= set(HOOKS)


def test_only_one_file_replaces_private_members_of_the_sdk() -> None:
    private = {
        name
        for owner in SDK
        for name in vars(owner)
        if name.startswith("_") and not name.startswith("__") and name != "_abc_impl"
    }
    subclasses = [VoucherifyStream, GracefulTap]
    while subclasses:
        one = subclasses.pop()
        subclasses += one.__subclasses__()
        if one.__module__ != stream.__name__:
            assert private & set(vars(one)) == set(), one
