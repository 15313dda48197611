# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Where audits are kept, and how a bundle is sealed, packed and verified.

Layout, on the control node::

    audits/2026-11-25T050000Z/           one sealed folder per audit
        rapport.html rapport.pdf resultats.json oscal-assessment-results.json
        junit/<profil>.xml  machines/<machine>/collecte.json openscap-arf.xml.gz  catalogue/…
        racine.pem chaine.pem empreintes.sha256 signature.p7s horodatage.tsr
    audits/2026-11-25T050000Z.tar.gz     the same, in one file
    audits/.en-cours-<audit>/            an audit that goes on, or was interrupted; never sealed

A folder is sealed last and appears whole, by a rename; each audit notes the digests of the seal of the one before.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.audit.sources import AuditError, Target
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import AnswerError, checked
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.seal import (
    DIGESTS,
    SEAL_FILES,
    SealError,
    SealKeys,
    Verification,
    seal,
    sha256,
    verify,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.store import seal_pins, verification_lines

# Environment variable by which fab tells Ansible's plugins where to collect.
FOLDER = "CREATIC_AUDIT_FOLDER"
RESULTS = "resultats.json"
REPORT = "rapport.html"
PDF = "rapport.pdf"
OSCAL = "oscal-assessment-results.json"
ARF = "openscap-arf.xml.gz"
COLLECTED = "collecte.json"
_PLAN = ".plan.json"
_FOLLOWED = ".suivi.json"
_ID = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z(-\d+)?")
_MAX_BYTES = 4 * 2**30  # unpacked bundle
_MAX_ARF = 256 * 2**20
_MAX_PACKED = 64 * 2**20  # the same, gzip and base64; a real one takes 1 to 3 MB


def current() -> Path | None:
    """Folder of the running audit, for Ansible's plugins; None outside of one."""
    name = os.environ.get(FOLDER, "")
    return Path(name) if name and Path(name).is_dir() else None


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_plan(folder: Path, targets: Sequence[Target]) -> None:
    """Note what is to be audited."""
    write_json(folder / _PLAN, [dataclasses.asdict(target) for target in targets])


def read_plan(folder: Path) -> list[Target]:
    """What is to be audited; empty when it could not be known."""
    path = folder / _PLAN
    return [Target(**item) for item in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def write_followed(folder: Path, hosts: Mapping[str, Any]) -> None:
    """Note what Ansible met on each host."""
    write_json(folder / _FOLLOWED, hosts)


def read_followed(folder: Path) -> dict[str, Any]:
    """What Ansible met on each host."""
    path = folder / _FOLLOWED
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def clear_notes(folder: Path) -> None:
    """Remove the working notes, whose content is in the results."""
    for name in (_PLAN, _FOLLOWED):
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
    write_json(target / COLLECTED, kept)


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
        raise AuditError(f"{name} : le résultat d'OpenSCAP est abîmé : {error}") from error
    if len(data) > _MAX_ARF:
        raise AuditError(f"{name} : le résultat d'OpenSCAP dépasse {_MAX_ARF // 2**20} Mio")
    return data


def audits(home: Path) -> list[Path]:
    """Finished audits, oldest first."""
    return sorted(path for path in (home / "audits").glob("*/") if _ID.fullmatch(path.name))


def previous_results(home: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Results of the last audit that can be read, and what the next one notes of its seal."""
    for folder in reversed(audits(home)):
        try:
            results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return results, {"audit": folder.name, **seal_pins(folder)}
    return None, None


def _pack(folder: Path, name: str, target: Path) -> None:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mode = 0o755 if info.isdir() else 0o644
        return info

    with tarfile.open(target, "w:gz", compresslevel=6) as archive:
        archive.add(folder, arcname=name, filter=plain)


def publish(home: Path, staging: Path, name: str, keys: SealKeys) -> tuple[Path, Path]:
    """Seal the folder, pack it, and have both appear whole.

    Returns:
        The folder and the archive.

    Raises:
        AuditError: it could not be sealed; nothing is published.
    """
    (staging / "proprietaire.json").unlink(missing_ok=True)
    try:
        seal(staging, keys)
    except SealError as error:
        raise AuditError(f"le dossier d'audit ne peut pas être scellé : {error}") from error
    archive = staging.with_name(f"{staging.name}.tar.gz")
    _pack(staging, name, archive)
    for path in (*staging.rglob("*"), staging, archive):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    folder, final = home / "audits" / name, home / "audits" / f"{name}.tar.gz"
    staging.rename(folder)
    archive.rename(final)
    return folder, final


@contextmanager
def opened(bundle: Path) -> Iterator[Path]:
    """Give the folder of a bundle, unpacking an archive for as long as needed.

    Raises:
        AuditError: it is neither, or the archive is damaged or not one of ours.
    """
    if bundle.is_dir():
        yield bundle
        return
    if not bundle.is_file():
        raise AuditError(f"{bundle} : aucun dossier ni fichier d'audit à cet endroit")
    with tempfile.TemporaryDirectory(prefix="creatic-audit-") as scratch:
        try:
            with gzip.open(bundle) as stream:  # to its end, where its checksum is: tarfile stops before
                while stream.read(2**20):
                    pass
            with tarfile.open(bundle, "r:gz") as archive:
                members = archive.getmembers()
                if sum(member.size for member in members) > _MAX_BYTES:
                    raise AuditError(f"{bundle.name} : contenu démesuré, refusé")
                archive.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            raise AuditError(
                f"{bundle.name} : l'archive est abîmée ou n'est pas une archive d'audit ({error})"
            ) from error
        tops = list(Path(scratch).iterdir())
        if len(tops) != 1 or not tops[0].is_dir():
            raise AuditError(f"{bundle.name} : l'archive doit contenir un seul dossier, celui de l'audit")
        yield tops[0]


def verify_bundle(bundle: Path, root: Path) -> Verification:
    """Check everything of a bundle, folder or archive.

    Args:
        root: PEM of the root CA, from a trusted place.

    Raises:
        AuditError: there is nothing to read there.
    """
    if not root.is_file():
        raise AuditError(f"{root} est introuvable : donnez la racine de l'autorité du groupement (--racine)")
    with opened(bundle) as folder:
        if not (folder / DIGESTS).is_file() and not (folder / RESULTS).is_file():
            raise AuditError(f"{bundle} n'est pas un dossier d'audit")
        return verify(folder, root)


def verify_chain(home: Path) -> list[tuple[str, str]]:
    """Check that no audit of this control node was lost, replaced or slipped in.

    Returns:
        Pairs (audit, French reason).
    """
    faults = []
    finished = audits(home)
    for position, folder in enumerate(finished):
        try:
            named = json.loads((folder / RESULTS).read_text(encoding="utf-8")).get("precedent") or {}
        except (OSError, ValueError):
            continue  # its own verification says it
        before = finished[position - 1] if position else None
        if named.get("audit") != (before.name if before else None):
            lost = named.get("audit")
            faults.append((folder.name, f"l'audit {lost} a disparu" if lost else "un audit antérieur a été ajouté"))
        elif before:
            for name in SEAL_FILES:
                if not (before / name).is_file() or sha256(before / name) != named.get(name):
                    faults.append(
                        (f"{before.name}/{name}", f"modifié : l'audit {folder.name} en avait noté l'empreinte")
                    )
    return faults


def verify_all(home: Path, root: Path) -> tuple[list[str], bool]:
    """Check every audit of this control node, and their chain; French lines, and whether all is intact."""
    folders = audits(home)
    if not folders:
        raise AuditError("aucun audit sur ce poste de commande : « fab audit » en fait un")
    results = {folder.name: verify_bundle(folder, root) for folder in folders}
    for archive in sorted((home / "audits").glob("*.tar.gz")):
        try:
            results[archive.name] = verify_bundle(archive, root)
        except AuditError as error:
            results[archive.name] = Verification([(archive.name, str(error))])
    for folder in folders:
        archive = folder.with_name(f"{folder.name}.tar.gz")
        if archive.name not in results:
            results[archive.name] = Verification([(archive.name, "absent : l'archive de cet audit a été supprimée")])
    for name, reason in verify_chain(home):
        audit, _, file = name.partition("/")
        results[audit].faults.append((file or RESULTS, f"chaîne rompue : {reason}"))
    return verification_lines(results), all(result.intact for result in results.values())


def verify_one(bundle: Path, root: Path) -> tuple[list[str], bool]:
    """Check one bundle; French lines, and whether it is intact."""
    result = verify_bundle(bundle, root)
    lines = verification_lines({bundle.name: result})
    return [*lines, f"  signé par {result.signer}"] if result.intact else lines, result.intact


def discard(staging: Path) -> None:
    """Forget an audit that did not end."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.with_name(f"{staging.name}.tar.gz").unlink(missing_ok=True)
