"""Makes what a release publishes: ``make release VERSION=...``."""
