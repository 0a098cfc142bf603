"""Create, poll and download an export of customers, each step once even across runs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self

from typing_extensions import override

from tap_voucherify.exports.csv_reader import FIELDS
from tap_voucherify.pagination.total_check import FullRead
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

ATTEMPTS = 2
"""An export that fails or vanishes is created again once."""

FIRST_POLL = 0.5
MAX_POLL_INTERVAL = 300.0
MAX_EXPORT_TIME = 7_200.0
"""Seconds. The interval between polls doubles, so that two hours cost some thirty calls."""


@dataclass
class Export(FullRead):
    """An export in progress, as the state keeps it.

    Attributes:
        id: `None` before it is created.
        position: number of rows of its file that were written.
    """

    id: str | None = None
    position: int = 0

    @override
    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The export that an earlier run left in progress, or a new one."""
        if not state.get("id"):
            return cls()
        return super().from_state({**state, "rows": 0, "position": state.get("rows", 0)})

    @override
    def to_state(self) -> dict[str, Any]:
        state = super().to_state()
        return {**state, "rows": state.pop("position")}


def export_file(
    client: Client, export: Export, count: Callable[[], int | None]
) -> Iterator[IO[bytes] | None]:
    """Yield `None` while Voucherify makes an export, then its file.

    Args:
        client: of the project.
        export: the one to pick up, or a new one; kept up to date for the state.
        count: returns how many customers the API counts.

    Raises:
        VoucherifyError: the export failed twice, or takes too long.
    """
    for left in range(ATTEMPTS - 1, -1, -1):
        if export.id is None:
            _create(client, export, count())
            yield None
        url = yield from _download_url(client, export)
        if url is not None:
            yield _download(client, export, url)
            return
        if left:
            export.id, export.position, export.missing = None, 0, None
    raise VoucherifyError(
        "Voucherify could not make the export of customers, twice: run again later, or set "
        "customers_backfill to list."
    )


def customer_definitions(client: Client) -> Mapping[str, Any]:
    """The keys of the project's metadata schema for customers; empty if there is no schema.

    They distinguish the export's numbers, booleans and lists from text.
    """
    try:
        response = client.get(METADATA_SCHEMA, {"resource": "customer"})
    except (NotFoundError, DeniedError):
        return {}
    properties = response.get("properties")
    return properties if isinstance(properties, dict) else {}


def _create(client: Client, export: Export, total: int | None) -> None:
    response = client.post(
        EXPORTS,
        {
            "exported_object": "customer",
            "parameters": {"order": "created_at", "fields": list(FIELDS)},
        },
    )
    export.id, export.started, export.total = str(response.get("id")), client.run_started, total


def _download_url(client: Client, export: Export) -> Generator[None, None, str | None]:
    """Poll an export; returns its download URL, or `None` if it failed or is gone."""
    waited, pause = 0.0, FIRST_POLL
    while waited < MAX_EXPORT_TIME:
        try:
            response = client.get(EXPORT, {"id": str(export.id)})
        except NotFoundError:
            return None
        if response.get("status") == "DONE":
            return _url(response)
        if response.get("status") == "ERROR":
            return None
        yield None
        client.wait(pause)
        waited, pause = waited + pause, min(MAX_POLL_INTERVAL, pause * 2)
    raise VoucherifyError(
        f"The export of customers is not done after {MAX_EXPORT_TIME / 3600:.0f} hours: run again, "
        "which picks it up, or set customers_backfill to list."
    )


def _url(response: dict[str, Any]) -> str | None:
    result = response.get("result")
    url = result.get("url") if isinstance(result, dict) else None
    return url if isinstance(url, str) else None


def _download(client: Client, export: Export, url: str) -> IO[bytes]:
    """The whole file on disk.

    Download URLs are short-lived by a draft of Voucherify's documentation, so an expired one is
    renewed once.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the CSV reader closes it
    try:
        client.download(url, file)
    except ExpiredDownloadError:
        fresh = _url(client.get(EXPORT, {"id": str(export.id)}))
        if fresh is None:
            raise
        client.download(fresh, file)
    file.seek(0)
    return file
