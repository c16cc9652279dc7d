"""One file per paper. A method turns a batch of features and pseudo labels into a loss, and keeps its memory."""
