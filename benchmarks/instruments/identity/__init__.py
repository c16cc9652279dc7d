"""Scenes with known people, played to the server, and how well they were recovered: for `benchmarks.identity`."""
