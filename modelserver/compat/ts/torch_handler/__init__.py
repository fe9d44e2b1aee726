"""Handlers that come with the server."""
