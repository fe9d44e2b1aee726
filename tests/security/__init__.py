"""Tests of ``modelserver/security``."""
