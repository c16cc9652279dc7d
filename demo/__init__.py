"""`make demo`: a server and three edges on the simulated site, as separate processes."""
