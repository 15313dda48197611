# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The sealed record of the journals that the supervision gathers: its daily manifests, signed among the evidence.

Layout, on the control node::

    journaux/2026-11-25T010504Z/         one sealed folder for what came since the one before, see evidence/store
        journaux.json rapport.html
        manifeste-12.json                as the collector wrote it (role supervision, creatic_journaux/seal.py)

Whoever holds the collector may write its days again, but not what was signed here before.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import answers
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now

from creatic.evidence import store

FOLDER = "journaux"
PROGRAM = "/usr/bin/creatic-journaux"
_MAX_MANIFESTS_PER_ANSWER = 400
_MAX_MANIFEST_NUMBER = 10**15  # beyond, no day nor disk has so many
_MAX_MANIFESTS_LENGTH = 64 << 20
_MANIFEST_DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}")
_JOURNAL_FILE_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.log\.gz")


class JournalError(CreaticError, cause="journal"):
    """What the collector tells cannot be sealed; the message (French) says what is wrong."""


def sealed_today(home: Path) -> bool:
    """Whether a record of today is there: a second morning asks for nothing."""
    return any(run.name[:10] == now().date().isoformat() for run in store.runs(home / FOLDER))


def seal_manifests(home: Path, operator: str, ask: Callable[[int], str]) -> tuple[Path, str, bool] | None:
    """Seal the manifests that no record has yet.

    Args:
        home: state of the control node.
        operator: who asks.
        ask: gives what the collector's ``exporter --apres N`` says, for a number N.

    Returns:
        The sealed folder, why it is not signed (French; empty when it is), and whether the collector's days do not
        follow those that were sealed. None when nothing is new, or when nothing can be signed yet.

    Raises:
        JournalError: what it says is no list of manifests.
        EvidenceError: the record cannot be written.
    """
    if not store.can_sign(home):
        return None
    with store.opened(home, FOLDER, operator) as run, store.closing(home / FOLDER) as finished:
        last = _last_sealed(finished)
        told = _parse_manifests(ask(last["numero"] - 1 if last else 0))
        # The one that was sealed last is asked for again: it must be there as it was.
        follows = last is None or (bool(told) and told[0][1] == last["sha256"])
        if not follows:
            told = _parse_manifests(ask(0))
        new = told[1:] if last and follows else told
        _check_chain(told)
        if not new and follows:
            return None
        for manifest, _digest, text in new:
            (run.staging / f"manifeste-{manifest['numero']}.json").write_text(text, encoding="utf-8")
        summaries = [_summarize_manifest(manifest, digest) for manifest, digest, _text in new]
        record = {"rupture": not follows, "manifestes": summaries}
        return *run.publish(finished, record, "journaux.html.j2"), not follows


def differences(home: Path, text: str) -> list[str]:
    """What differs between the collector's days, as it reads them again, and what was sealed here (French).

    Args:
        home: state of the control node.
        text: what the collector's ``verifier`` says.

    Raises:
        JournalError: it is no answer of that program.
    """
    found = _parse_answer(text, "{")
    try:
        there = {int(one["numero"]): str(one["sha256"]) for one in found["manifestes"]}
        told = [str(one)[:300] for one in found["fautes"]][:1000]
    except (KeyError, TypeError, ValueError):
        raise JournalError("le collecteur ne répond pas comme attendu : fab serveurs supervision") from None
    known = {one["numero"]: one for one in _since_rupture(store.runs(home / FOLDER))}
    for number, one in sorted(known.items()):
        if number in there and there[number] != one["sha256"]:
            told.append(f"{one['jour']} : le manifeste n'est plus celui qui a été scellé")
        elif number not in there and there and number > min(there):
            told.append(f"{one['jour']} : scellé ici, disparu du collecteur")
    if known and not there:
        told.append("le collecteur n'a plus aucun jour scellé")
    return told


def _since_rupture(finished: list[Path]) -> Iterator[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for run in finished:
        facts = store.facts_of(run)
        kept = ([] if facts.get("rupture") else kept) + list(facts.get("manifestes", ()))
    yield from kept


def _last_sealed(finished: list[Path]) -> dict[str, Any] | None:
    known = list(_since_rupture(finished))
    return known[-1] if known else None


def _parse_answer(text: str, opening: str) -> Any:
    """The JSON of an answer; Ansible's own words may stand before."""
    if len(text) > _MAX_MANIFESTS_LENGTH:
        raise JournalError("le collecteur répond démesurément : regardez ce qu'il est devenu")
    lines = [line for line in text.splitlines() if line.startswith(opening) and not line.startswith("[WARNING")]
    try:
        return answers.parse_json_output(lines[-1])
    except (IndexError, ValueError):
        raise JournalError("le collecteur ne répond pas comme attendu : fab serveurs supervision") from None


def _parse_manifests(text: str) -> list[tuple[dict[str, Any], str, str]]:
    """Manifests, each with its digest and its own text."""
    listed = _parse_answer(text, "[")
    if not isinstance(listed, list) or len(listed) > _MAX_MANIFESTS_PER_ANSWER:
        raise JournalError("le collecteur ne donne pas une liste de jours scellés : fab serveurs supervision")
    found = []
    for one in listed:
        try:
            manifest = answers.parse_json_output(one)
            _check_manifest(manifest)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalError(f"un manifeste du collecteur n'en est pas un ({error}) : rien n'est scellé") from None
        found.append((manifest, hashlib.sha256(one.encode()).hexdigest(), one))
    return found


def _check_manifest(manifest: dict[str, Any]) -> None:
    day, before = date.fromisoformat(manifest["jour"]), manifest["precedent"]
    if not isinstance(manifest["numero"], int) or not 0 < manifest["numero"] < _MAX_MANIFEST_NUMBER:
        raise ValueError(f"numéro du {day}")
    if before is not None and not _MANIFEST_DIGEST_PATTERN.fullmatch(before["sha256"]):
        raise ValueError(f"jour précédent du {day}")
    for file in manifest["fichiers"]:
        counts = all(
            isinstance(file[name], int) and 0 <= file[name] < _MAX_MANIFEST_NUMBER for name in ("octets", "lignes")
        )
        if not (
            _JOURNAL_FILE_PATTERN.fullmatch(file["nom"])
            and _MANIFEST_DIGEST_PATTERN.fullmatch(file["sha256"])
            and counts
        ):
            raise ValueError(f"fichier du {day}")


def _check_chain(told: list[tuple[dict[str, Any], str, str]]) -> None:
    for (before, digest, _), (after, _digest, _text) in itertools.pairwise(told):
        if after["precedent"] != {"jour": before["jour"], "sha256": digest}:
            raise JournalError(
                f"le {after['jour']} ne suit pas le {before['jour']} : le collecteur a été modifié. À faire : "
                "creatic-journaux verifier sur la machine, et fab audit"
            )


def _summarize_manifest(manifest: Mapping[str, Any], digest: str) -> dict[str, Any]:
    files = manifest["fichiers"]
    counts = {name: sum(file[name] for file in files) for name in ("lignes", "octets")}
    return {"numero": manifest["numero"], "jour": manifest["jour"], "sha256": digest, "machines": len(files)} | counts
