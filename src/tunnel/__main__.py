"""Lets ``python -m tunnel`` do what the command ``tunnel`` does."""

import sys

from tunnel.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
