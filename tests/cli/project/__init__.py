"""Tests of the subcommands for those who write handlers."""
