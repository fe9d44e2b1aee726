"""Tests of ``modelserver/server``."""
