"""Airbyte source and destination for Voucherify, by tap-voucherify and target-voucherify."""
