# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What an audit under way keeps, and what its bundle holds.

Layout, on the control node::

    audits/2026-11-25T050000Z/           one sealed folder per audit, see evidence/store
        rapport.html rapport.pdf resultats.json oscal-assessment-results.json
        junit/<profil>.xml  machines/<machine>/releve.json constats.json collecte.json openscap-arf.xml.gz  catalogue/…
    audits/2026-11-25T050000Z.tar.gz     the same, in one file
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import os
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import AnswerError, checked
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason

from creatic.audit.sources import AuditError, Target
from creatic.evidence import store as evidence_store

# Environment variable by which fab tells Ansible's plugins where to collect.
FOLDER = "CREATIC_AUDIT_FOLDER"
RESULTS = evidence_store.AUDIT
REPORT = "rapport.html"
PDF = "rapport.pdf"
OSCAL = "oscal-assessment-results.json"
ARF = "openscap-arf.xml.gz"
COLLECTED = "collecte.json"
RELEVE = "releve.json"
FACTS = "constats.json"
_PLAN = ".plan.json"
_FOLLOW_UP_FILE = ".suivi.json"
_MAX_ARF = 256 * 2**20
_MAX_PACKED = 64 * 2**20  # the same, gzip and base64; a real one takes 1 to 3 MB


def current() -> Path | None:
    """Folder of the running audit, for Ansible's plugins; None outside of one."""
    name = os.environ.get(FOLDER, "")
    return Path(name) if name and Path(name).is_dir() else None


def write_plan(folder: Path, targets: Sequence[Target]) -> None:
    """Note what is to be audited."""
    evidence_store.write_json(folder / _PLAN, [dataclasses.asdict(target) for target in targets])


def read_plan(folder: Path) -> list[Target]:
    """What is to be audited; empty when it could not be known."""
    path = folder / _PLAN
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [Target(**item | {"door": tuple(item["door"])}) for item in found]


def write_followed(folder: Path, hosts: Mapping[str, Any]) -> None:
    """Note what Ansible met on each host."""
    evidence_store.write_json(folder / _FOLLOW_UP_FILE, hosts)


def read_followed(folder: Path) -> dict[str, Any]:
    """What Ansible met on each host."""
    path = folder / _FOLLOW_UP_FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def clear_notes(folder: Path) -> None:
    """Remove the working notes, whose content is in the results, and what was being written of a machine."""
    for path in folder.glob("machines/*/"):
        if not any((path / name).is_file() for name in (COLLECTED, RELEVE, FACTS)):
            shutil.rmtree(path)
    for name in (_PLAN, _FOLLOW_UP_FILE):
        (folder / name).unlink(missing_ok=True)


def host_folder(folder: Path, name: str) -> Path:
    """Folder of a machine in the bundle."""
    return folder / "machines" / re.sub(r"[^\w.-]", "_", name)


def keep_collected(folder: Path, name: str, report: Any) -> None:
    """Write the collector's answer, the ARF apart.

    Raises:
        AnswerError: it is not an answer of the collector; nothing is written.
    """
    openscap = report.get("openscap") if isinstance(report, dict) else None
    packed = openscap.pop("arf_gz_b64", None) if isinstance(openscap, dict) else None
    kept = checked("collecte", report)
    if not isinstance(packed, str) or len(packed) > _MAX_PACKED:
        raise AnswerError("champ « collecte.openscap.arf_gz_b64 » : absent, ou démesuré")
    try:
        arf = base64.b64decode(packed, validate=True)
    except ValueError as error:
        raise AnswerError("champ « collecte.openscap.arf_gz_b64 » : du base64 est attendu") from error
    target = host_folder(folder, name)
    target.mkdir(parents=True, exist_ok=True)
    (target / ARF).write_bytes(arf)
    evidence_store.write_json(target / COLLECTED, kept)


def keep_releve(folder: Path, name: str, raw: bytes, file: str = RELEVE) -> None:
    """Write a machine's relevé, or a PC's facts, as they were signed: who reads the bundle verifies them too."""
    target = host_folder(folder, name)
    target.mkdir(parents=True, exist_ok=True)
    (target / file).write_bytes(raw)


def read_collected(folder: Path, name: str) -> dict[str, Any] | None:
    """The collector's answer of a machine; None when it was not had."""
    path = host_folder(folder, name) / COLLECTED
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def read_arf_bytes(folder: Path, name: str) -> bytes:
    """The ARF of a machine, unpacked.

    Raises:
        AuditError: it is damaged, or absurdly large.
    """
    try:
        with gzip.open(host_folder(folder, name) / ARF) as stream:
            data = stream.read(_MAX_ARF + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise AuditError(f"{name} : le résultat d'OpenSCAP est abîmé : {reason(error)}") from error
    if len(data) > _MAX_ARF:
        raise AuditError(f"{name} : le résultat d'OpenSCAP dépasse {_MAX_ARF // 2**20} Mio")
    return data


def previous_results(home: Path) -> dict[str, Any] | None:
    """Results of the last audit that can be read, and was not interrupted."""
    for run in reversed(evidence_store.runs(home / "audits")):
        found = evidence_store.read_json(run / RESULTS)
        if isinstance(found, dict) and not found.get("interrompu"):
            return found
    return None
