"""Use cases of the management API: register, scale, describe, unregister."""
