"""The settings of a version: one table for reading, precedence, defaults, description and documentation."""
