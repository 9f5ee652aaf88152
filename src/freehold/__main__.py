"""`python -m freehold` is the command line."""

import sys

from freehold.cli import main

sys.exit(main())
