"""The configuration that survives a restart: its format, its writer, its restoration."""
