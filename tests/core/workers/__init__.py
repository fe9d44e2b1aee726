"""Tests of ``modelserver/core/workers``."""
