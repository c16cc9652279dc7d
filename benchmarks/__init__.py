"""One script per question; each prints one JSON line and can write its results to a file."""
