"""The objects that all parts of a run share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.acknowledgement.outcomes import Outcomes
    from target_voucherify.acknowledgement.state_fence import StateFence
    from target_voucherify.acknowledgement.summary import Summary
    from target_voucherify.voucherify_client.client import Client
    from target_voucherify.voucherify_client.shutdown import Shutdown


class RunContext(NamedTuple):
    """One of each per run."""

    client: Client
    fence: StateFence
    outcomes: Outcomes
    summary: Summary
    shutdown: Shutdown
    ledger: Ledger | NoLedger
