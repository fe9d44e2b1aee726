"""Tests of ``modelserver/rest/inference``."""
