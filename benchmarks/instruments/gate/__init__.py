"""Candidates good and bad on purpose, sites to judge them on, and what labels say: for `benchmarks.gate`."""
