"""Vector search over identity prototypes. Never the truth: rebuilt from the records."""
