"""The loops of a worker: batches, concurrent calls, continuous batches."""
