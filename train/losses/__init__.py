"""Losses on batches of features; pure functions of tensors."""
