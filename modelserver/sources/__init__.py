"""Where model archives come from."""
