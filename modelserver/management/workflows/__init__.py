"""The use cases of workflows: register, describe, list, set the default version, unregister."""
