"""Tests of workers on other machines, without any."""
