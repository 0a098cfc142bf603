"""Names that come from data, such as the keys of metadata, in a form that is safe to log."""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from hashlib import blake2b

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
COLUMN = re.compile(r"[^\W\d][\w .:/()#%&-]{0,63}")
_salt = secrets.token_bytes(16)


@lru_cache(1_000)
def member_name(name: str) -> str:
    """The key of a record's object if it is a plain identifier, else its hash."""
    return name if IDENTIFIER.fullmatch(name) else _hash(name)


@lru_cache(1_000)
def column_name(name: str) -> str:
    """The name of a declared property or of a setting, unless it looks like data."""
    return name if COLUMN.fullmatch(name) else _hash(name)


def _hash(name: str) -> str:
    """Ten hexadecimal digits, the same within one run only: nobody can look for known names."""
    text = name.encode("utf-8", "backslashreplace")
    return "#" + blake2b(text, digest_size=5, key=_salt).hexdigest()
