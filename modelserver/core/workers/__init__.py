"""The workers of a version: a state machine for each, the pool that owns them, what becomes of their jobs."""
