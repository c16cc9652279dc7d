"""The server's gRPC services: the only place of the server that speaks the wire."""
