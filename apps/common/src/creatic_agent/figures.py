# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Figures for the node exporter's textfile collector, in Prometheus' text format (0.0.4)."""

from __future__ import annotations

from collections.abc import Mapping

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def labels(**named: str) -> str:
    """What tells samples of one figure apart; whatever their texts hold, the file stays one that can be read."""
    return "{" + ",".join(f'{name}="{str(value).translate(_ESCAPED)}"' for name, value in named.items()) + "}"


class Figures:
    """Gauges whose names begin alike, in the order in which they are added.

    Args:
        prefix: beginning of their names.
        common: labels that all samples bear, without which those of two files of a host would be the same.
    """

    def __init__(self, prefix: str, **common: str) -> None:
        self._prefix, self._lines = prefix, list[str]()
        self._common = labels(**common)[1:-1]

    def add(self, name: str, text: str, samples: float | Mapping[str, float]) -> None:
        """Add a gauge: its value, or its samples by `labels`."""
        full = self._prefix + name
        self._lines += [f"# HELP {full} {text}", f"# TYPE {full} gauge"]
        for labelled, value in (samples if isinstance(samples, Mapping) else {"": samples}).items():
            inner = ",".join(filter(None, [labelled[1:-1], self._common]))
            self._lines.append(
                f"{full}{f'{{{inner}}}' if inner else ''} {format(value, 'd' if isinstance(value, int) else '.10g')}"
            )

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"
