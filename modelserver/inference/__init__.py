"""Use cases of prediction: predict, readiness, what a model says about itself."""
