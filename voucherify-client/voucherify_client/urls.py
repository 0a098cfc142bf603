"""Which URLs the keys may be sent to, as pure functions of URLs."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit

from .errors import VoucherifyError

DOWNLOAD_HOSTS = (
    "download.voucherify.io",
    "us1.download.voucherify.io",
    "as1.download.voucherify.io",
)
"""Where the shared regions keep exported files, as the documentation of exports shows them."""


def api_url_error(url: str) -> str | None:
    """What is wrong with `api_url`, in a sentence that does not show it; `None` if nothing is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    # Plain http never leaves this machine.
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


def is_segment(text: str) -> bool:
    """Whether a text can stand in a path."""
    return text not in {"", ".", ".."}


def segment(text: str) -> str:
    """A text as one segment of a path, percent-encoded whole: a slash in it is no separator.

    Raises:
        VoucherifyError: it is empty, `.` or `..`, which encoding does not hide.
    """
    if not is_segment(text):
        raise VoucherifyError(
            "An id that is empty, or only dots, cannot stand in a path: report it to the "
            "maintainers with the run's log."
        )
    return quote(text, safe="")


def may_hold_downloads(url: str, api_url: str) -> bool:
    """Whether an export's file may lie there: on the API's own host or the region's download host.

    A download is requested with the keys, so it must not go to any other host.
    """
    if not url.isprintable() or " " in url:
        return False  # Clients do not agree on how to read such a URL.
    try:
        wanted, api = urlsplit(url), urlsplit(api_url)
    except ValueError:
        return False
    if (wanted.scheme, wanted.netloc) == (api.scheme, api.netloc):
        return True
    labels = (api.hostname or "").split(".")
    of_region = ".".join("download" if label == "api" else label for label in labels)
    return wanted.scheme == "https" and wanted.netloc in {*DOWNLOAD_HOSTS, of_region}
