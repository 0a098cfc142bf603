"""A stand-in for one Voucherify project."""
