"""Tests of ``modelserver/rest/management``."""
