"""Create, poll and download an export of customers, each step once even across runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self

from typing_extensions import override

from tap_voucherify.pagination.total_check import FullRead
from tap_voucherify.voucherify_client.errors import DeniedError, NotFoundError
from tap_voucherify.voucherify_client.export_job import (
    ATTEMPTS,
    download,
    download_url,
    export_failed,
    order_export,
)
from tap_voucherify.voucherify_client.exported_customers import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_voucherify.voucherify_client.client import Client

METADATA_SCHEMA = "/v1/metadata-schemas/{resource}"


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
            total = count()
            export.id = order_export(client, FIELDS)
            export.started, export.total = client.run_started, total
            yield None
        url = yield from download_url(client, export.id)
        if url is not None:
            yield download(client, export.id, url)
            return
        if left:
            export.id, export.position, export.missing = None, 0, None
    raise export_failed()


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
