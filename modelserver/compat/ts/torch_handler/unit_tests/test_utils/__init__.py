"""What tests of handlers are made with."""
