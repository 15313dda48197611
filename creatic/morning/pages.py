# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The morning's pages: all communes on one, then one of each with what was done to it. In the control node's state::

    matin/index.html  matin/page.js        what is wrong, and every commune, to search and to sort out
    matin/communes/gondecourt.html         a commune

They need no program to be made nor shown: filters are CSS, and page.js only searches names. The same pages, without
the links to records that stay on the control node, go to the supervision as one archive, which shows them to people of
the groupement (docs/design/morning.md).
"""

from __future__ import annotations

import fcntl
import gzip
import io
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic.evidence import history as commands_history
from creatic.evidence import page as evidence_page
from creatic.morning import curves, history
from creatic.morning.screen import (
    FOLDER,
    Finding,
    Morning,
    by_age,
    headline,
)

INDEX, SCRIPT, COMMUNES = "index.html", "page.js", "communes"
_MAX_FINDINGS_SHOWN = 200
"""Findings that the first page tells: the gravest. A commune's page tells all of its own."""
_MAX_FINDINGS_UNFOLDED = 12
"""Those of them that are told without being asked for."""
_MAX_COMMUNES_AS_SQUARES = 1000
"""Communes that a screen shows as squares; more are a table alone."""
_EVENTS, _COMMANDS = 60, 20  # of a commune's page
_COMMUNE_SIZE_FILTER = ("petite", "moyenne", "grande")
_READINESS_STATES = ("Prête", "Équipée, pas prête", "Pas équipée", "Jamais déployée")
_DEGREES = ("À traiter", "À surveiller", "Rien à signaler")
_SQUARE_MARKS = (("echec", "✗", "à traiter"), ("attention", "!", "à surveiller"), ("ok", "✓", "prête, rien à signaler"),
          ("partiel", "–", "pas encore prête, rien à signaler"))  # fmt: skip # one line for each pair


@dataclass
class Row:
    """A commune on the first page; what it is sorted out by is a rank in the lists of `Filters`."""

    slug: str
    name: str
    state: Mapping[str, Any]
    readiness: int
    degree: int
    findings: list[Finding]
    version: str
    acts: int | None
    classes: str = ""

    @property
    def mark(self) -> tuple[str, str, str]:
        """Tone, character and words of its square."""
        return _SQUARE_MARKS[self.degree if self.degree < 2 else 2 if not self.readiness else 3]


class Pages:
    """The pages of a morning.

    Args:
        home: state of the control node.
        found: the morning.
        environment: its name.
        owners: short name of the commune of each machine.
        more: curves for the first page.
    """

    def __init__(
        self,
        home: Path,
        found: Morning,
        environment: str,
        owners: Mapping[str, str],
        more: Sequence[curves.Curve] = (),
    ) -> None:
        self.home, self.found, self.environment, self._more = home, found, environment, more
        self._events = history.read(home, {**owners, **{slug: slug for slug in found.communes}})
        self._commands = history.commands(commands_history.read(home), found.communes)
        self._acts, self._acts_of = curves.acts(home, owners, found.moment.astimezone().date())
        by_commune: dict[str, list[Finding]] = {}
        for one in found.findings:
            by_commune.setdefault(one.commune, []).append(one)
        self._rows = sorted(
            (self._build_row(slug, state, by_commune.get(slug, [])) for slug, state in found.communes.items()),
            key=lambda row: (row.degree, row.name),
        )
        self._filters = _build_filters(self._rows)
        self._machines: dict[str, set[str]] = {row.slug: {*row.state["hotes"]} for row in self._rows}
        for name, slug in owners.items():
            if slug in self._machines:
                self._machines[slug].add(name)

    def _build_row(self, slug: str, state: Mapping[str, Any], findings: list[Finding]) -> Row:
        readiness = 3 if not state["hotes"] else 0 if state["prete"] else 1 if state["equipee"] else 2
        degree = 2 if not findings else 1 if all(one.watched for one in findings) else 0
        past = next((one.version for one in self._events.get(slug, ()) if one.what == "Déploiement"), "")
        version = self.found.versions.get(slug) or past
        name = str(state["commune"].get("nom") or slug)
        return Row(slug, name, state, readiness, degree, findings, version, self.found.acts.get(slug))

    def all(self, *, records: bool) -> Iterator[tuple[str, str]]:
        """Each page: its place in the folder, its content.

        Args:
            records: whether the records are beside the pages, which then lead to them.
        """
        told = self.found.findings[:_MAX_FINDINGS_SHOWN]
        shown: dict[str, Any] = {"when": self.found.moment.isoformat(), "environment": self.environment}
        shown |= {"records": records, "names": {row.slug: row.name for row in self._rows}}
        yield INDEX, _render_page(
            "matin.html.j2", **shown, found=self.found, headline=headline(self.found), rows=self._rows,
            filters=self._filters, territories=self._group_territories(), waves=waves(self.found), told=told,
            first=_MAX_FINDINGS_UNFOLDED, squares=len(self._rows) <= _MAX_COMMUNES_AS_SQUARES,
            left=len(self.found.findings) - len(told), curves=[self._acts, *self._more], marks=_SQUARE_MARKS,
            ages=by_age(self.found),
        )  # fmt: skip # a word to a line would hide the page
        yield SCRIPT, Path(__file__).with_name(SCRIPT).read_text(encoding="utf-8")
        for row in self._rows:
            events, commands = self._events.get(row.slug, []), self._commands.get(row.slug, [])
            yield f"{COMMUNES}/{row.slug}.html", _render_page(
                "matin_commune.html.j2", **shown, row=row, commune=row.state["commune"], states=_READINESS_STATES,
                machines=sorted(self._machines[row.slug]), fleet=self.found.standings,
                curve=self._acts_of.get(row.slug), events=events[:_EVENTS], older=max(0, len(events) - _EVENTS),
                commands=commands[:_COMMANDS],
            )  # fmt: skip # a list by rows

    def _group_territories(self) -> list[tuple[str, str, list[Row]]]:
        """Territories, with the class and the communes of each, by name."""
        found: dict[str, list[Row]] = {}
        for row in sorted(self._rows, key=lambda row: row.name):
            found.setdefault(_row_territory(row), []).append(row)
        named, values = self._filters[0].key, self._filters[0].values
        return [(name, f"{named}{values.index(name)}", found[name]) for name in values]

    def write(self) -> Path:
        """Write them in the control node's state; gives the place of the first one.

        Communes that left have no page any more. One that is shown meanwhile is the old or the new one, whole.
        """
        folder = self.home / FOLDER
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / ".verrou").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            staging, old = folder / ".pages", folder / ".avant"
            for left in (staging, old):
                shutil.rmtree(left, ignore_errors=True)
            (staging / COMMUNES).mkdir(parents=True, mode=0o700)
            for name, text in self.all(records=True):
                (staging / name).write_text(text, encoding="utf-8")
                (staging / name).chmod(0o600)
            if (folder / COMMUNES).exists():
                (folder / COMMUNES).rename(old)
            (staging / COMMUNES).rename(folder / COMMUNES)
            for name in (SCRIPT, INDEX):
                (staging / name).replace(folder / name)
            for left in (staging, old):
                shutil.rmtree(left, ignore_errors=True)
        return folder / INDEX

    def pack(self, target: Path) -> Path:
        """Write them as one archive (.tar.gz), for a server that has no record; the same pages make the same bytes."""
        with (
            target.open("wb") as raw,
            gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for name, text in self.all(records=False):
                content = text.encode()
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
        return target


@dataclass(frozen=True)
class Filter:
    """What communes are sorted out by: ``key`` begins the classes, of which the rank in ``values`` is the rest."""

    key: str
    label: str
    whole: str
    values: list[str]


def _row_territory(row: Row) -> str:
    return str(row.state["commune"].get("territoire") or "—")


def _build_filters(rows: Sequence[Row]) -> list[Filter]:
    """The filters, and the classes of each row by them."""
    asked: list[tuple[str, str, str, list[str], list[str]]] = []

    def by(key: str, label: str, whole: str, of: Iterable[str], order: Sequence[str] = ()) -> None:
        mine = list(of)
        values = [one for one in order if one in mine] or sorted({*mine}, key=lambda text: (len(text), text))
        values += sorted({*mine} - {*values})
        asked.append((key, label, whole, mine, values))

    territories = [_row_territory(row) for row in rows]
    by("t", "Territoire", "tous", territories, sorted({*territories}))
    by("s", "Taille", "toutes", (str(row.state["commune"].get("taille") or "—") for row in rows), _COMMUNE_SIZE_FILTER)
    by("w", "Vague", "toutes", (str(row.state["commune"].get("vague") or "—") for row in rows))
    by("r", "État", "tous", (_READINESS_STATES[row.readiness] for row in rows), _READINESS_STATES)
    by("v", "Version", "toutes", (row.version or "inconnue" for row in rows))
    by("d", "Ce matin", "toutes", (_DEGREES[row.degree] for row in rows), _DEGREES)
    for rank, row in enumerate(rows):
        row.classes = " ".join(f"{key}{values.index(mine[rank])}" for key, _, _, mine, values in asked)
    return [Filter(key, label, whole, values) for key, label, whole, _, values in asked]


def waves(found: Morning) -> list[tuple[str, int, int, int]]:
    """Waves: name, communes, équipées, prêtes."""
    groups: dict[str, list[int]] = {}
    for one in found.communes.values():
        group = groups.setdefault(str(one["commune"].get("vague", "—")), [0, 0, 0])
        for place, more in enumerate((1, bool(one["equipee"]), bool(one["prete"]))):
            group[place] += more
    ordered = sorted(groups.items(), key=lambda one: (len(one[0]), one[0]))
    return [(name, total, equipped, ready) for name, (total, equipped, ready) in ordered]


def _render_page(template: str, **content: Any) -> str:
    return evidence_page.ENVIRONMENT.get_template(template).render(**content)
