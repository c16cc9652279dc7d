"""What runs the network on this machine, and how the fastest is found."""
