"""The torture bench: both plugins, as commands, under every reading, fault and kill."""
