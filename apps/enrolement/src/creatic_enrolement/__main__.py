"""The door's command."""

import sys

from creatic_enrolement.cli import main

sys.exit(main())
