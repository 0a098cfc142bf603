"""What can be written to Voucherify, and how a record becomes it: pure functions of values."""
