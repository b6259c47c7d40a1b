"""`python -m plasticity_utils` is the command `plasticity`."""

import sys

from plasticity_utils.cli import main

if __name__ == "__main__":
    sys.exit(main())
