"""The peer's messages."""
