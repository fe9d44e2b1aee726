"""Tests of ``modelserver/core/queues``."""
