"""The time of a change to Voucherify, and of a reward back, when jobs run each minute."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import log_progress
from demo import crm, live
from demo.__main__ import JOBS, meltano
from demo.services import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo.services import Sandbox

A_MINUTE = 60.0
MINUTES = 8
CHANGED = 18
"""Contacts that change, at random times in all but the last three minutes."""

SECONDS_BETWEEN_LOOKS = 0.2


def measured() -> dict[str, Any]:
    """Seconds from commit to Voucherify, and from redemption to the CRM's table of rewards."""
    with live.stage() as (api, address, *_):
        rng = Random(1)
        began = time.monotonic()
        delays = [rng.uniform(0, (MINUTES - 3) * A_MINUTE) for _ in range(CHANGED)]
        with ThreadPoolExecutor(CHANGED) as contacts:
            ways = [
                contacts.submit(_way, api, address, 1 + 2 * number, began + delay)
                for number, delay in enumerate(delays)
            ]
            runs = _schedule(began)
            found = [way.result() for way in ways]
    there, back = zip(*found, strict=True)
    return {"runs": runs, "there": _figures(there), "back": _figures(back)}


def _schedule(began: float) -> dict[str, float]:
    """Run the jobs each minute; a run that takes longer skips the next minute."""
    lasted: list[float] = []
    while (now := time.monotonic()) < began + MINUTES * A_MINUTE:
        meltano("run", *JOBS, log=FOLDER / "every-minute.log")
        lasted.append(time.monotonic() - now)
        log_progress(f"run {len(lasted)}: {lasted[-1]:.1f} s")
        time.sleep(A_MINUTE - (time.monotonic() - began) % A_MINUTE)
    return _figures(lasted)


def _way(api: Sandbox, address: str, number: int, begins: float) -> tuple[float, float]:
    """Seconds of one contact's change, and of the reward for its friend's order."""
    time.sleep(max(0.0, begins - time.monotonic()))
    live.change(address, number)
    key = crm.contact_id(number)
    there = _until(lambda: api.customer(key)["metadata"].get("tier") == "platinum")
    live.refer(api, number)
    return there, _until(lambda: live.rewards_in_crm(address, number) == (2,))


def _until(holds: Callable[[], bool]) -> float:
    """Seconds until a condition is true."""
    began = time.monotonic()
    while not holds():
        time.sleep(SECONDS_BETWEEN_LOOKS)
        if time.monotonic() - began > MINUTES * A_MINUTE:
            raise TimeoutError(f"It did not arrive: see the logs in {FOLDER}.")
    return time.monotonic() - began


def _figures(seconds: Any) -> dict[str, float]:
    return {"count": len(seconds), "median": median(seconds), "most": max(seconds)}
