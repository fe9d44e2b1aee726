"""Tests of ``modelserver/cli/doctor``."""
