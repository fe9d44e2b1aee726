"""Configuration: one table of keys, where their values come from, and the frozen result."""
