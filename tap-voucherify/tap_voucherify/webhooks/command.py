"""The command `voucherify-webhooks serve`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.webhooks.receiver import PATH, Receiver
from tap_voucherify.webhooks.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG = logging.getLogger("voucherify-webhooks")

SECRETS = "VOUCHERIFY_WEBHOOK_SECRETS"
"""The variable with the secrets, separated by blanks; arguments could be read by other users."""

MOST_CONNECTIONS = 1_000
SECONDS_TO_STOP = 9

SECONDS_KEPT_OPEN = 75
"""An idle connection; longer than proxies keep theirs, so that they are the ones to let go."""


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    whole = argparse.ArgumentParser(
        prog="voucherify-webhooks",
        description=f"Keeps Voucherify's webhooks for the tap. The variable {SECRETS} holds the "
        "signing secret, or several separated by blanks.",
    )
    serve = whole.add_subparsers(required=True, metavar="serve").add_parser(
        "serve", help="receive webhooks until SIGTERM or Ctrl-C"
    )
    serve.add_argument(
        "--store", type=Path, required=True, help="the file that the tap's webhook_store names"
    )
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    serve.add_argument("--port", type=int, default=8011, help="0: any free port (8011)")
    return whole


def serve(arguments: Sequence[str] | None = None) -> int:
    """Receive until a signal; 0 then, 1 if it cannot begin."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # uvicorn raises a signal once more when it has stopped; that must not end the process badly.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        secrets = _secrets()
        store = Store.create(options.store)
    except VoucherifyError as problem:
        LOG.critical("%s", problem)
        return 1
    config = uvicorn.Config(
        Receiver(store, secrets).app,
        host=options.host,
        port=options.port,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        lifespan="on",
        http="h11",
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=SECONDS_KEPT_OPEN,
        timeout_graceful_shutdown=SECONDS_TO_STOP,
    )
    listening = config.bind_socket()
    listening.listen(config.backlog)  # who asks from now on waits until the server runs
    host, port = listening.getsockname()[:2]
    LOG.info("Webhooks are received on http://%s:%d%s", host, port, PATH)
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _secrets() -> list[str]:
    secrets = os.environ.get(SECRETS, "").split()
    if not secrets:
        raise VoucherifyError(
            f"Set the variable {SECRETS} to the signing secret that Voucherify shows beside the "
            "webhook."
        )
    return secrets
