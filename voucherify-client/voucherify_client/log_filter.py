"""Keep URLs, headers and values of records out of what libraries log.

A URL may hold an e-mail address or the token of a download, a header may hold a key, and HTTP
libraries log both: at DEBUG always, at WARNING where a header line is malformed. The SDK's stream
maps log at DEBUG what a filter evaluates to, which may be any value of a record.
"""

from __future__ import annotations

import logging

LIBRARIES = ("urllib3", "requests", "charset_normalizer", "chardet")

LATE = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.contrib.pyopenssl",
    "urllib3.http2.connection",
    "urllib3.http2.probe",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
    "urllib3.util.ssl_",
)
"""Loggers that modules create when they are imported, which may be later."""


def filter_library_logs() -> None:
    """Reduce what HTTP libraries log to which line of them logged; drop what stream maps debug.

    The filter is on each logger: one on a handler would miss other handlers, and a logger's own
    filter does not see what its children log.
    """
    made = [name for name in logging.root.manager.loggerDict if name.startswith(LIBRARIES)]
    for name in (*LIBRARIES, *LATE, *made):
        logging.getLogger(name).addFilter(_without_details)
    logging.getLogger("singer_sdk.mapper").addFilter(_above_debug)


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def _without_details(record: logging.LogRecord) -> bool:
    """Keep logger, level and line of a record, and nothing that it says."""
    record.msg = "%s logged a message; its details may be private"
    record.args = (f"{record.module}:{record.lineno}",)
    record.exc_info = record.exc_text = record.stack_info = None
    return True
