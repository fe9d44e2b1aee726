"""Tests of ``modelserver/management/snapshots``."""
