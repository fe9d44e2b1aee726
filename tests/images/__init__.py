"""The Containerfiles of ``images/``: how they are read, and what they have in common."""
