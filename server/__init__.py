"""The central server: receives, matches and stores embeddings, and answers searches."""
