"""Every stream of the tap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_voucherify.customers import Customers
from tap_voucherify.reward_events import RewardEvents

if TYPE_CHECKING:
    from tap_voucherify.emission import VoucherifyStream

STREAMS: tuple[type[VoucherifyStream], ...] = (Customers, RewardEvents)
