"""Who is who: pure decisions over tracklets. No grpc, no database, no clock, no threads."""
