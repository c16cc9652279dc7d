"""`python -m train` is `osprey-train`."""

from train.cli import main

if __name__ == "__main__":
    main()
