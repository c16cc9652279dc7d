"""Releases of the site: which there are, their signed repository, and how they get to the edges."""
