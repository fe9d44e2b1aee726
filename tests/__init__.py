"""The tests: folders mirror the package; ``harness`` is what they share."""
