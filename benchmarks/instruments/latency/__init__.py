"""Crops to embeddings, frames to acknowledgements, one release to the next: what `benchmarks.latency` times."""
