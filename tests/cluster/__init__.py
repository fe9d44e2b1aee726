"""Tests with a real Ray cluster, where Ray is installed, and with nodes in networks of their own."""
