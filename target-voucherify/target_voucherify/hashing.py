"""Names for records in log lines: a `source_id` may be an e-mail address, its hash is not."""

from __future__ import annotations

from hashlib import blake2b


def short_hash(source_id: str, application_id: str) -> str:
    """Ten hexadecimal digits, the same for one customer in every run of one project.

    Salted with the project's id, so that nobody can look a known address up in a ready-made table.
    """
    salt = blake2b(application_id.encode(), digest_size=16).digest()
    name = source_id.encode("utf-8", "backslashreplace")
    return blake2b(name, digest_size=5, key=salt).hexdigest()
