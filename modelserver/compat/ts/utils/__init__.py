"""Small things that handlers need."""
