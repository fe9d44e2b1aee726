"""Tests of ``modelserver/child/envelopes``."""
