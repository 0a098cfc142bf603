"""The objects that the parts of a run share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.acknowledgement.outcomes import EntityOutcomes
    from target_voucherify.acknowledgement.state_fence import StateFence
    from target_voucherify.acknowledgement.summary import Summary
    from target_voucherify.voucherify_client.client import Client
    from target_voucherify.voucherify_client.shutdown import Shutdown


class RunContext(NamedTuple):
    """One of each per run; outcomes and ledger are those of one entity."""

    client: Client
    fence: StateFence
    outcomes: EntityOutcomes
    summary: Summary
    shutdown: Shutdown
    ledger: Ledger | NoLedger
