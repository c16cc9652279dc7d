"""Crops on demand: which to ask the edges for, within what budget, and where they are kept."""
