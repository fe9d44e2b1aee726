"""Tests of ``modelserver/rest/dialects``."""
