"""The SDK's own target suite, and the case that the SDK leaves out because it fails it itself."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from importlib.resources import files
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import get_target_test_class, target_test_streams
from typing_extensions import override

from target_voucherify.sinks import EntitySink
from target_voucherify.target import TargetVoucherify
from voucherify_sandbox import Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

SANDBOX = Sandbox(readings=Readings(job_polls=0)).start()
CONFIG = {
    "application_id": SANDBOX.application_id,
    "secret_key": SANDBOX.secret_key,
    "api_url": SANDBOX.url,
}


class AnyStream(TargetVoucherify):
    """Takes any stream of the suite; those without a key get numbers."""

    _numbers = count()

    @override
    def get_sink_class(self, stream_name: str) -> type[EntitySink]:
        return EntitySink

    @override
    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        if not message_dict.get("key_properties"):
            message_dict["key_properties"] = ["number"]
            if message_dict["schema"].get("properties") is not None:
                message_dict["schema"]["properties"]["number"] = {"type": "integer"}
        super()._process_schema_message(message_dict)

    @override
    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        message_dict["record"]["number"] = next(self._numbers)
        super()._process_record_message(message_dict)


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> Iterator[None]:
    yield
    SANDBOX.stop()


TestTargetVoucherify = get_target_test_class(AnyStream, config=CONFIG)


def test_multiple_state_messages() -> None:
    """Each STATE passes, in order, once what came before it is there.

    The SDK's own expectation is three of these five: it holds a state back as long as any later
    record is unwritten, which no state needs.
    """
    given = (files(target_test_streams) / "multiple_state_messages.singer").read_text()
    with redirect_stdout(io.StringIO()) as printed:
        AnyStream(config={**CONFIG, "batch_size_rows": 1}).listen(io.StringIO(given))
    states = [tuple(json.loads(line).values()) for line in printed.getvalue().splitlines()]
    assert states == sorted(set(states))
    assert {(1, 0), (3, 2), (5, 6)} <= set(states) <= {(1, 0), (2, 1), (3, 2), (5, 3), (5, 6)}
    assert states[-1] == (5, 6)
