"""What is counted, and what the host has left."""
