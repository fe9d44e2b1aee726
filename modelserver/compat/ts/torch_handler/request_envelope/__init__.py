"""Known formats of request bodies."""
