"""Run the target inside the test's own process: quick, for tests that need many runs."""

from __future__ import annotations

import io
import json
import logging
import signal
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import leaks
from target_voucherify.entities.entity import entity_settings
from target_voucherify.settings import SETTINGS, Settings, with_defaults
from target_voucherify.target import TargetVoucherify
from target_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from target_voucherify.entities.entity import EntitySettings
    from voucherify_sandbox import Sandbox


@dataclass
class Outcome:
    """What a run printed, logged and raised."""

    states: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""
    error: VoucherifyError | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """The counts of the run's last line."""
        line = next(line for line in reversed(self.log.splitlines()) if "run summary" in line)
        counts: dict[str, Any] = json.loads(line.partition("run summary ")[2])
        return counts

    @property
    def accounted(self) -> int:
        """Records that ended somewhere."""
        counts = self.summary
        names = ("accepted", "unchanged", "duplicates", "refused", "deleted", "deletes_ignored")
        return sum(counts[name] for name in names)


def settings(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    """The settings that reach a sandbox; no share of refusals ends the run."""
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
        "max_refused_percent": 100,
        **more,
    }


def parsed(**given: Any) -> Settings:
    """The settings as the target parses them, with a key pair that nobody has."""
    pair = {"application_id": "a", "secret_key": "s"}
    return Settings.from_config(with_defaults({**pair, **given}, SETTINGS))


def of_customers(**given: Any) -> EntitySettings:
    """The settings of customers, as `parsed` has them."""
    return entity_settings(parsed(**given))[0]


def held(sandbox: Sandbox) -> set[str]:
    """The keys of the customers in a project."""
    return {customer["source_id"] for customer in sandbox.project.customers.values()}


def load(config: dict[str, Any], text: str) -> Outcome:
    """Let the target read `text` to its end."""
    outcome, lines = Outcome(), io.StringIO()
    logger, handler = logging.getLogger("target-voucherify"), logging.StreamHandler(lines)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    level, logger.level = logger.level, logging.INFO
    logger.addHandler(handler)
    try:
        with redirect_stdout(io.StringIO()) as printed:
            outcome.error = _ended_by(config, text)
    finally:
        logger.removeHandler(handler)
        logger.level = level
        for number, before in handlers.items():
            signal.signal(number, before)
    outcome.log = lines.getvalue()
    leaks.saw(f"{outcome.log}\n{outcome.error}")
    outcome.states = [json.loads(line) for line in printed.getvalue().splitlines()]
    return outcome


def _ended_by(config: dict[str, Any], text: str) -> VoucherifyError | None:
    """What ended a run early, be it the settings or the input."""
    try:
        target = TargetVoucherify(config=dict(config))
    except VoucherifyError as error:
        return error
    try:
        target.listen(io.StringIO(text))
    except VoucherifyError as error:
        return error
    finally:
        target.run.summary.log(0)
    return None
