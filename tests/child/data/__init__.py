"""Tests of ``modelserver/child/data``."""
