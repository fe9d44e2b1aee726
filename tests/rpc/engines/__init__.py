"""Tests of ``modelserver/rpc/engines``."""
