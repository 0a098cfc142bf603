"""Singer target for Voucherify."""
