"""Tests of ``modelserver/management/workflows``."""
