"""What stands before a model."""
