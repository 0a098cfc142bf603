"""Pseudonyms of records in log lines: a `source_id` may be an e-mail address, its hash is not."""

from __future__ import annotations

import secrets
from hashlib import blake2b


class Pseudonyms:
    """Ten hexadecimal digits for each `source_id`, the same ones within one run only.

    The salt is random and stored nowhere, so that nobody can hash known addresses and look for
    them in a log. The refused-records file holds the pseudonym beside the record.
    """

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)

    def of(self, source_id: str) -> str:
        """The pseudonym of one record."""
        text = source_id.encode("utf-8", "backslashreplace")
        return blake2b(text, digest_size=5, key=self._salt).hexdigest()
