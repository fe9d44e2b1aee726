"""Log files: their lines, their layouts, their rotation."""
