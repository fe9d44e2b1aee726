"""Tests of ``modelserver/management``."""
