"""A site's crops in the style of its other cameras: light, tint and contrast change, the person stays."""
