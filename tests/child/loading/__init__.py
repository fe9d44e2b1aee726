"""Tests of ``modelserver/child/loading``."""
