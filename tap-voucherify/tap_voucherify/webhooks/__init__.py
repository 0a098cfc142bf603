"""Events that Voucherify sends by itself: received, kept on disk, read by the tap (§11)."""
