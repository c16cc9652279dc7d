"""A simulated site: people with stable looks walking a floor plan in front of several cameras."""
