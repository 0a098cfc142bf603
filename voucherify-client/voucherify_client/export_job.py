"""Order, poll and download an export, each step by itself."""

from __future__ import annotations

import io
import tempfile
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

from . import temporary_files
from .errors import ExpiredDownloadError, NotFoundError, VoucherifyError
from .exported_customers import WITHOUT_EXPORT

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .client import Client

EXPORTS = "/v1/exports"
EXPORT = "/v1/exports/{id}"

ATTEMPTS = 2
"""An export that fails or vanishes is ordered again once."""

FIRST_POLL = 0.5
MAX_POLL_INTERVAL = 300.0
MAX_EXPORT_TIME = 7_200.0
"""Seconds. The interval between polls doubles, so that two hours cost some thirty calls."""


def order_export(client: Client, fields: Sequence[str], kind: str = "customer") -> str:
    """Order an export of all customers, or another kind of object, oldest first; its id."""
    parameters = {"order": "created_at", "fields": list(fields)}
    body = {"exported_object": kind, "parameters": parameters}
    return str(client.post(EXPORTS, body).get("id"))


def download_url(client: Client, export: str) -> Generator[None, None, str | None]:
    """Poll an export, yielding after each poll; returns its download URL.

    Returns:
        `None` if it failed or is gone.

    Raises:
        VoucherifyError: it takes too long.
    """
    waited, pause = 0.0, FIRST_POLL
    while waited < MAX_EXPORT_TIME:
        try:
            response = client.get(EXPORT, {"id": export})
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
        f"The export is not done after {MAX_EXPORT_TIME / 3600:.0f} hours: run again, or "
        f"{WITHOUT_EXPORT}."
    )


def exported_file(client: Client, fields: Sequence[str], kind: str = "customer") -> IO[bytes]:
    """The file of a new export of all objects of a kind, waited for; whoever reads it closes it.

    Raises:
        VoucherifyError: Voucherify could not make it, or takes too long.
    """
    for _ in range(ATTEMPTS):
        export = order_export(client, fields, kind)
        polls = download_url(client, export)
        while True:
            try:
                next(polls)
            except StopIteration as end:
                if end.value is not None:
                    return download(client, export, end.value)
                break
    raise export_failed()


def download(client: Client, export: str, url: str) -> IO[bytes]:
    """The whole file on disk.

    Download URLs are short-lived by a draft of Voucherify's documentation, so an expired one is
    renewed once.
    """
    with ExitStack() as unless_filled:
        with temporary_files.usable():
            # Without a buffer, which could not be closed where it cannot be written.
            file = unless_filled.enter_context(tempfile.TemporaryFile(buffering=0))
        try:
            client.download(url, file)
        except ExpiredDownloadError:
            fresh = _url(client.get(EXPORT, {"id": export}))
            if fresh is None:
                raise
            client.download(fresh, file)
        unless_filled.pop_all()
    file.seek(0)
    return io.BufferedReader(file)


def export_failed() -> VoucherifyError:
    """Voucherify could not make the export, as often as it was ordered."""
    return VoucherifyError(
        f"Voucherify could not make the export, twice: run again later, or {WITHOUT_EXPORT}."
    )


def _url(response: dict[str, Any]) -> str | None:
    result = response.get("result")
    url = result.get("url") if isinstance(result, dict) else None
    return url if isinstance(url, str) else None
