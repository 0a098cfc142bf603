"""The torture bench runs both plugins as commands under all readings, faults and kills."""
