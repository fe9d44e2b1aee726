"""Tests of ``modelserver/tracing``."""
