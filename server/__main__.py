"""`python -m server` is `osprey-server`."""

from server.cli import main

main()
