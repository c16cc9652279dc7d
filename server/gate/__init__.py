"""The gate: whether a candidate release is better than its parent, found without labels."""
