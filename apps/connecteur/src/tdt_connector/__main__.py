"""`python3 -m tdt_connector`: the same as the command."""

import sys

from .cli import main

sys.exit(main())
