"""The agent beside the camera: frames in, embeddings out."""
