"""Parts of the bench that vary more than readings, settings and one injection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from voucherify_sandbox.torture import (
    tap_calls,
    tap_company,
    tap_movement,
    tap_strangers,
    target_company,
    target_entities,
    target_proof,
    target_restored,
    target_scarce,
    target_strangers,
    target_upstream,
)

if TYPE_CHECKING:
    from random import Random

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin
    from voucherify_sandbox.torture.score import Score


class Dimension(Protocol):
    """A module with one part of the bench.

    Attributes:
        PART: its name; the first word is the plugin's part, such as `tap`.
        SAMPLE: cases in a sample.
    """

    PART: str
    SAMPLE: int

    def cases(self, rng: Random) -> list[Case]:
        """The cases, the same for the same state of `rng`."""

    def run_case(self, case: Case, plugin: Plugin) -> Score:
        """Run one case; the plugin has its settings and an empty folder."""


DIMENSIONS: tuple[Dimension, ...] = (
    tap_movement,
    tap_calls,
    tap_company,
    tap_strangers,
    target_upstream,
    target_company,
    target_restored,
    target_scarce,
    target_strangers,
    target_entities,
    target_proof,
)
"""All of them; none is run with a user's own settings."""
