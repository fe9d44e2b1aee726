"""Tests of ``modelserver/backends``."""
