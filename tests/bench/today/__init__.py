"""Tests of the comparison with servers of today."""
