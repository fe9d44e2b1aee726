"""Tests with a real Ray cluster; they are left out where Ray is not installed."""
