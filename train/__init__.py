"""Training: crops in, a model release out. The only package that imports torch."""
