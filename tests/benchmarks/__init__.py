"""What the pair costs in time, calls and memory, beside what people would use instead."""
