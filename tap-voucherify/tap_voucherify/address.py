"""Which addresses the keys may be sent to, as pure functions of addresses."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit

from tap_voucherify.errors import VoucherifyError

DOWNLOAD_HOSTS = (
    "download.voucherify.io",
    "us1.download.voucherify.io",
    "as1.download.voucherify.io",
)
"""Where the shared regions keep exported files (reference §1.1)."""


def problem(url: str) -> str | None:
    """What is wrong with `api_url`, in words that do not show it; None if nothing is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    # On this machine nobody listens on the way.
    if not parts.hostname or parts.scheme not in ("https", "http" if is_loopback(url) else "https"):
        return (
            "The setting api_url must be an https address, or http on a loopback address: the keys "
            "would travel unprotected."
        )
    if parts.query or parts.fragment or "@" in parts.netloc or parts.path.rstrip("/"):
        return (
            "The setting api_url must be scheme and host only, such as https://api.voucherify.io."
        )
    return None


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def segment(text: str) -> str:
    """A text as one segment of a path, whatever it holds; a slash in it is no separator.

    Raises:
        VoucherifyError: it is empty or a step in a path, which encoding does not hide.
    """
    if text in {"", ".", ".."}:
        raise VoucherifyError(
            "An id that is empty, or only dots, cannot stand in a path: report it to the "
            "maintainers with the run's log."
        )
    return quote(text, safe="")


def may_hold_downloads(url: str, api_url: str) -> bool:
    """Whether an export's file may lie there: on the API's own host or the region's download host.

    The keys go along with a download (reference §9.3), so no other host may be asked.
    """
    if not url.isprintable() or " " in url:
        return False  # Not everybody reads such an address the same way.
    try:
        asked, api = urlsplit(url), urlsplit(api_url)
    except ValueError:
        return False
    if (asked.scheme, asked.netloc) == (api.scheme, api.netloc):
        return True
    labels = (api.hostname or "").split(".")
    of_region = ".".join("download" if label == "api" else label for label in labels)
    return asked.scheme == "https" and asked.netloc in {*DOWNLOAD_HOSTS, of_region}
