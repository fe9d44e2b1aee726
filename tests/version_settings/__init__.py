"""Tests of ``modelserver/version_settings``."""
