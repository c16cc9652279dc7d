"""`python -m demo`."""

from demo.cli import main

# Guarded: the processes that encode the video import this module again.
if __name__ == "__main__":
    main()
