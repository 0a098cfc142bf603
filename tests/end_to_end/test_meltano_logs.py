"""Meltano's log at debug level holds no key and no token.

At debug level Meltano copies each message that an extractor prints into its log. That is its own
doing, before this target sees a record; `docs/operating.md` warns of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import leaks
from demo import crm

if TYPE_CHECKING:
    from conftest import Meltano
    from voucherify_sandbox import Sandbox

COPIED = 'tap-postgres {"type":"RECORD"'


def test_a_run_at_debug_level_holds_no_key_and_nobody_but_in_meltanos_copies(
    meltano: Meltano, sandbox: Sandbox
) -> None:
    crm.fill(meltano.crm, 20)

    process = meltano.start("--log-level=debug", "run", "tap-postgres", "target-voucherify")
    log, _ = process.communicate(timeout=240)

    assert process.returncode == 0, log
    assert len(sandbox.project.customers) == 20
    copies = [line for line in log.splitlines() if COPIED in line]
    others = [line for line in log.splitlines() if COPIED not in line]
    leaks.saw("\n".join(others))
    assert len(copies) == 20
    assert not any(leaks.PRIVATE[kind].search(log) for kind in ("a key", "a token"))
