"""Who may ask: the authorizers, the keys and the file that holds them."""
