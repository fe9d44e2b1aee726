"""Tests of ``modelserver/http1``."""
