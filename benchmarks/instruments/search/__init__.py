"""Search engines, each measured in a process of its own: for `benchmarks.search`."""
