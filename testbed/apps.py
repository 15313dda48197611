"""Where the applications' packages are: each folder of apps/ that has a pyproject.toml has them in src.

``python -m testbed.apps`` prints these folders, as PYTHONPATH and MYPYPATH take them.
"""

from __future__ import annotations

import os
from pathlib import Path

TOP = Path(__file__).parents[1]


def sources() -> list[str]:
    """Folders of the applications' packages."""
    return sorted(str(path.parent / "src") for path in TOP.glob("apps/*/pyproject.toml"))


if __name__ == "__main__":
    print(os.pathsep.join(sources()))
