"""From record to customer: pure functions of values."""
