"""The fetcher, as its service starts it."""

import sys

from creatic_flotte.cli import main

sys.exit(main())
