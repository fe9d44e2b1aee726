"""The services of the oldest archives."""
