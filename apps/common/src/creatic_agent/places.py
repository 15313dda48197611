# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Where a program keeps what: paths below the folders that its configuration names."""

from __future__ import annotations

from pathlib import Path


class Under:
    """A path below a folder of the same configuration: ``journal = Under("folder", "journal.sqlite")``."""

    def __init__(self, folder: str, path: str) -> None:
        self._folder, self._path = folder, path

    def __get__(self, configuration: object, _kind: type) -> Path:
        folder: Path = getattr(configuration, self._folder)
        return folder / self._path
