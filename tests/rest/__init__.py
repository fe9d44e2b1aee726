"""Tests of ``modelserver/rest``."""
