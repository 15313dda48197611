"""`python -m sae.journal verify …`, for whoever has only this folder."""

import sys

from sae.journal.commands import main

sys.exit(main())
