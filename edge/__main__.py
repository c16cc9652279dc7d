"""`python -m edge` is `osprey-edge`."""

from edge.cli import main

main()
