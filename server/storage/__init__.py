"""Records: what the server must never lose, in SQLite by default."""
