"""Compiles the French of packages that bring it as source only; run once, when the bundle is made."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    from zope.i18n.compile import compile_mo_file

    for source in Path(sys.prefix).glob("lib/python3.*/site-packages/**/locales/fr/LC_MESSAGES/*.po"):
        if not source.with_suffix(".mo").exists():
            compile_mo_file(source.stem, str(source.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
