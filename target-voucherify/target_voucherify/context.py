"""What the parts of one run share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.acknowledgement.outcomes import Outcomes
    from target_voucherify.acknowledgement.state_fence import Fence
    from target_voucherify.client import Client
    from target_voucherify.stopping import Stopping
    from target_voucherify.summary import Summary


class Services(NamedTuple):
    """One of each per run."""

    client: Client
    fence: Fence
    outcomes: Outcomes
    summary: Summary
    stopping: Stopping
    ledger: Ledger | NoLedger
