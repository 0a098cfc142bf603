"""The way of a customers export: ordered, awaited, downloaded, each step once (reference §9)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self

from typing_extensions import override

from tap_voucherify.exports.csv_reader import FIELDS
from tap_voucherify.pagination.total_check import WholeRead
from tap_voucherify.voucherify_client.errors import (
    DeniedError,
    ExpiredDownloadError,
    NotFoundError,
    VoucherifyError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from tap_voucherify.voucherify_client.client import Client

EXPORTS = "/v1/exports"
EXPORT = "/v1/exports/{id}"
METADATA_SCHEMA = "/v1/metadata-schemas/{resource}"

ORDERS = 2
"""An export that fails or vanishes is ordered again once."""

FIRST_LOOK = 0.5
LONGEST_BETWEEN_LOOKS = 300.0
LONGEST_EXPORT = 7_200.0
"""Seconds: the looks at an export double their distance, so that two hours cost some thirty."""


@dataclass
class Export(WholeRead):
    """An export in flight, as the state keeps it.

    Attributes:
        id: which one; none before it is ordered.
        position: how many rows of its file were written.
    """

    id: str | None = None
    position: int = 0

    @override
    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The export that an earlier run left in flight, or none."""
        if not state.get("id"):
            return cls()
        export = super().from_state({**state, "rows": 0})
        export.id, export.position = str(state["id"]), int(state.get("rows", 0))
        return export

    @override
    def to_state(self) -> dict[str, Any]:
        return {**super().to_state(), "id": self.id, "rows": self.position}


def fetched(
    client: Client, export: Export, count: Callable[[], int | None]
) -> Iterator[IO[bytes] | None]:
    """Get an export's file: nothing while it is in the making, then the file.

    Args:
        client: reaches the project.
        export: the one to pick up, or an empty one; kept up to date for the state.
        count: asks how many customers the API counts.

    Raises:
        VoucherifyError: it failed twice, or takes too long.
    """
    for left in range(ORDERS - 1, -1, -1):
        if export.id is None:
            _order(client, export, count())
            yield None
        url = yield from _awaited(client, export)
        if url is not None:
            yield _downloaded(client, export, url)
            return
        if left:
            export.id, export.position, export.missing = None, 0, None
    raise VoucherifyError(
        "Voucherify could not make the export of customers, twice: run again later, or set "
        "customers_backfill to list."
    )


def customer_definitions(client: Client) -> Mapping[str, Any]:
    """The keys of the project's metadata schema for customers; none where there is no schema.

    They tell the export's numbers, booleans and lists from text.
    """
    try:
        answer = client.get(METADATA_SCHEMA, {"resource": "customer"})
    except (NotFoundError, DeniedError):
        return {}
    properties = answer.get("properties")
    return properties if isinstance(properties, dict) else {}


def _order(client: Client, export: Export, total: int | None) -> None:
    answer = client.post(
        EXPORTS,
        {
            "exported_object": "customer",
            "parameters": {"order": "created_at", "fields": list(FIELDS)},
        },
    )
    export.id, export.started, export.total = str(answer.get("id")), client.run_started, total


def _awaited(client: Client, export: Export) -> Generator[None, None, str | None]:
    """Wait for an export; gives its address, or none if it failed or is gone."""
    waited, pause = 0.0, FIRST_LOOK
    while waited < LONGEST_EXPORT:
        try:
            answer = client.get(EXPORT, {"id": str(export.id)})
        except NotFoundError:
            return None
        if answer.get("status") == "DONE":
            return _address(answer)
        if answer.get("status") == "ERROR":
            return None
        yield None
        client.wait(pause)
        waited, pause = waited + pause, min(LONGEST_BETWEEN_LOOKS, pause * 2)
    raise VoucherifyError(
        f"The export of customers is not done after {LONGEST_EXPORT / 3600:.0f} hours: run again, "
        "which picks it up, or set customers_backfill to list."
    )


def _address(answer: dict[str, Any]) -> str | None:
    result = answer.get("result")
    url = result.get("url") if isinstance(result, dict) else None
    return url if isinstance(url, str) else None


def _downloaded(client: Client, export: Export, url: str) -> IO[bytes]:
    """The file on disk, whole; an address that expired is asked for again once (§9.3)."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the reader of the rows closes it
    try:
        client.download(url, file)
    except ExpiredDownloadError:
        fresh = _address(client.get(EXPORT, {"id": str(export.id)}))
        if fresh is None:
            raise
        client.download(fresh, file)
    file.seek(0)
    return file
