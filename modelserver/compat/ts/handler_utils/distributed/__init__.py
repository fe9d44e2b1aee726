"""What handlers of models that span several ranks call."""
