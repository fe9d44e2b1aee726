"""Base handlers of models that span several ranks."""
