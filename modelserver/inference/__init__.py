"""Use cases of prediction: predict, health and readiness, metadata, which model a request means."""
