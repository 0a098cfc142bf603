"""The command `voucherify-webhooks serve`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.webhooks.connections import BoundedProtocol
from tap_voucherify.webhooks.receiver import PATH, Receiver
from tap_voucherify.webhooks.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG = logging.getLogger("voucherify-webhooks")

SECRETS = "VOUCHERIFY_WEBHOOK_SECRETS"
"""Environment variable with the secrets, separated by spaces; other users can read arguments."""

MAX_CONNECTIONS = 1_000
BACKLOG = 2_048
SHUTDOWN_SECONDS = 9

KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep an idle connection, so that they close it and not the receiver."""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        prog="voucherify-webhooks",
        description=f"Stores Voucherify's webhooks for the tap. The variable {SECRETS} holds the "
        "signing secret, or several separated by spaces.",
    )
    serve = top.add_subparsers(required=True, metavar="serve").add_parser(
        "serve", help="receive webhooks until SIGTERM or Ctrl-C"
    )
    serve.add_argument(
        "--store", type=Path, required=True, help="the file that the tap's webhook_store names"
    )
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    serve.add_argument("--port", type=int, default=8011, help="0: any free port (8011)")
    return top


def serve(arguments: Sequence[str] | None = None) -> int:
    """Receive until a signal; the exit status: 0, or 1 if the receiver cannot start."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # uvicorn raises the signal again once it has stopped; that must not change the exit status.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        secrets = _secrets()
        # Before the store is opened: another receiver on this port may be using it.
        listening = _listen(options.host, options.port)
        store = Store.create(options.store)
    except VoucherifyError as error:
        LOG.critical("%s", error)
        return 1
    config = uvicorn.Config(
        Receiver(store, secrets).app,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        lifespan="on",
        http=BoundedProtocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    host, port = listening.getsockname()[:2]
    LOG.info("Receiving webhooks on http://%s:%d%s", host, port, PATH)
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A socket on which requests wait until the server runs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise VoucherifyError(
            f"The webhook receiver cannot listen on {host}, port {port} "
            f"({getattr(error, 'strerror', error)}): stop what uses it, or choose another one "
            "with --host and --port."
        ) from None


def _secrets() -> list[str]:
    secrets = os.environ.get(SECRETS, "").split()
    if not secrets:
        raise VoucherifyError(
            f"Set the variable {SECRETS} to the signing secret that Voucherify shows beside the "
            "webhook."
        )
    return secrets
