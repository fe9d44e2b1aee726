"""Subcommands that ask a running server."""
