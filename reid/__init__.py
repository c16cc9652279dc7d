"""The domain that edge, server and train agree on."""
