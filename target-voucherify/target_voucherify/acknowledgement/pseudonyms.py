"""Names for records in log lines: a `source_id` may be an e-mail address, its hash is not."""

from __future__ import annotations

import secrets
from hashlib import blake2b


class RecordNames:
    """Ten hexadecimal digits for each `source_id`, the same ones within one run only.

    The salt is random and told nobody, so that no list of known addresses can be compared with a
    log. The file of refusals holds the name beside the record.
    """

    def __init__(self) -> None:
        """Draw the salt of this run."""
        self._salt = secrets.token_bytes(16)

    def of(self, source_id: str) -> str:
        """The name of one record."""
        text = source_id.encode("utf-8", "backslashreplace")
        return blake2b(text, digest_size=5, key=self._salt).hexdigest()
