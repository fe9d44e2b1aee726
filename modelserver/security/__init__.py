"""Who may ask: tokens and the file that holds them."""
