"""The operator's console: pages over the same services as gRPC."""
