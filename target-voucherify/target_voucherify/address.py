"""Which addresses the keys may be sent to, as pure functions of `api_url`."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit

from target_voucherify.errors import VoucherifyError


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
