"""The queues of a version: who waits, who goes next, how long the wait will be."""
