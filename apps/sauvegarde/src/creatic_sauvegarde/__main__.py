"""``python -m creatic_sauvegarde``: on the control node, which installs nothing of its own."""

import sys

from creatic_sauvegarde.cli import main

sys.exit(main())
