# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Where the project's applications are: apps/APPLICATION/src/PACKAGE."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def package(name: str, places: Iterable[str | Path]) -> Path | None:
    """An application's package, by its name, of the project that one of these places is in; none of another project.

    Whatever the working directory, and on a machine that fetches for itself as on the control node.
    """
    if Path(name).name != name:
        return None
    for place in map(Path, places):
        top = next((one for one in (place, *place.parents) if (one / "apps").is_dir()), None)
        found = sorted(one / name for one in top.glob("apps/*/src") if (one / name).is_dir()) if top else []
        if found:
            return found[0]
    return None
