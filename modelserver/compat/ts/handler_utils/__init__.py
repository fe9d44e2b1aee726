"""What handlers build on."""
