"""What the server decides: which versions exist, which worker does what, which jobs go together."""
