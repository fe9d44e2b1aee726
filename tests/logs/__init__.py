"""Tests of ``modelserver/logs``."""
