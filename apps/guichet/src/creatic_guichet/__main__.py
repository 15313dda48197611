"""The door's command."""

import sys

from creatic_guichet.cli import main

sys.exit(main())
