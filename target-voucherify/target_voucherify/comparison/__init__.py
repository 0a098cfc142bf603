"""What Voucherify holds, read back by an export and compared with what is sent."""
