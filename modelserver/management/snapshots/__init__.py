"""Snapshots of the registered models, which survive a restart: format, writer, restoration."""
