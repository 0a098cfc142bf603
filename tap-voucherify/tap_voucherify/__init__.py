"""Singer tap for Voucherify."""
