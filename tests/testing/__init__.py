"""Tests of what tests of handlers use."""
