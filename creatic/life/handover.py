# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A commune leaves: all that is its own in one folder, sealed, and the receipt by which it says that it has it.

The folder, which public tools verify (sha256sum, openssl) and which needs nothing of ours to be read::

    LISEZMOI.txt  commune.yml  remise.json
    archives/  ged/  parapheur/  deliberations/  teletransmission/
    racine.pem chaine.pem empreintes.sha256 signature.p7s horodatage.tsr      see evidence/seal

It is made beside its place (``.en-cours``) and comes there whole, by a rename. Nothing of the commune's is deleted
before the receipt: a CMS signature of ``empreintes.sha256``, which has the digest of each file, by a person of the
commune.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import sync_directory
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now
from cryptography import x509

from creatic.evidence import store
from creatic.evidence.seal import (
    DIGESTS,
    SEVERAL,
    SIGNATURE,
    SIGNER,
    TIMESTAMP,
    UNIT,
    WHO,
    SealError,
    SealKeys,
    Verification,
    openssl,
    seal,
    signed_by,
    verify,
)
from creatic.registry.groupement import Commune
from creatic_agent import identity

FACTS = "remise.json"
PARTS = {
    "archive_gateway": "archives",
    "ged": "ged",
    "parapheur": "parapheur",
    "deliberations": "deliberations",
    "tdt_connector": "teletransmission",
}
"""What each profile gives, by its folder; with the machine's name when several have the profile: see `parts`."""
_PART_DESCRIPTIONS = {
    "archives": "les archives : un entrepôt OCFL 1.1 (archives/LISEZMOI.txt dit comment le vérifier)",
    "ged": "les documents de la GED, chacun avec ses fichiers et ce que l'on en sait (document.json)",
    "parapheur": "les dossiers du parapheur, originaux et signés, avec l'historique de leur circuit (document.json)",
    "deliberations": "les séances, délibérations et pages du site, avec leurs fichiers (contenu.json)",
    "teletransmission": "les actes et flux transmis, leurs accusés, et le journal du connecteur (journal.json)",
}
# States of the connector's journal that lead on, and of dossiers that do not.
_SENDING = ("depose", "verifie", "intention", "envoye", "a_rapprocher")
_FINAL_ACT_STATES = ("Acquitté", "Signé et clos", "Refusé")
_RUNNING = ".en-cours"
_HANDOVER_README = """\
{nom} (SIREN {siren}) : ce que le groupement lui remet, le {day}.

{parts}

Rien d'autre n'est nécessaire pour lire et vérifier ce dossier : ni notre logiciel, ni base de données. Une partie qui
est restée un fichier .tar contient des noms que ce disque ne sait pas écrire ; tar ou 7-Zip la lisent.

Vérifier, dans ce dossier, que rien n'y manque et que rien n'a changé :

    sha256sum --check --strict --quiet {digests}
    openssl ts -verify -data {signature} -in {timestamp} -CAfile racine.pem -untrusted chaine.pem
    openssl cms -verify -binary -inform DER -in {signature} -content {digests} \\
        -no-CApath -no-CAstore -CAfile racine.pem -out /dev/null

Voir ensuite qui a signé, et qui a daté. Les deux « subject » doivent être CN={signer} et CN={unit},
suivis de l'organisation et du pays que montrent les « issuer », et de rien d'autre.

{who}

Comparez d'abord racine.pem avec celle que le groupement vous a remise par un autre canal.

Donner reçu, une fois vérifié : une personne de la commune signe la liste des empreintes avec son certificat.

    openssl cms -sign -binary -cades -outform DER -in {digests} -out recu.p7s -signer certificat.pem -inkey cle.pem
"""


class HandOverError(CreaticError, cause="remise"):
    """The hand-over cannot be made, or is not signed for; the message is French."""


def hosted(commune: Commune) -> list[dict[str, Any]]:
    """The entities that a commune hosts: slug, nom, siren, type, services, and the folder of each in the hand-over."""
    return [
        {key: one[key] for key in ("slug", "nom", "siren", "type", "services")} | {"dossier": f"entites/{one['slug']}"}
        for one in (commune.variables["entites"] if "entites" in commune.data else ())
    ]


def has_archives(folder: Path) -> bool:
    """Whether a folder of parts holds archives: an export of none has its own few files."""
    exports = [store.read_json(path / "export.json") for path in folder.glob("archives*")]
    return any(not isinstance(export, dict) or bool(export.get("archives", 1)) for export in exports)


def sources(commune: Commune, servers: Mapping[str, str], entity: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Machines that hold something of a commune's, or of an entity that it hosts, with their profile.

    All servers that may: a service which the commune gave up may have left something.

    Args:
        commune: its file.
        servers: profile of each server of the inventory.
        entity: one of `hosted`.
    """
    found = {name: profile for name, profile in servers.items() if profile in PARTS}
    if entity is not None and "teletransmission" not in entity["services"]:
        return found
    return found | {host.name: "tdt_connector" for host in commune.hosts() if "tdt_connector" in host.groups}


def parts(hosts: Mapping[str, str]) -> dict[str, str]:
    """Folder of what each machine gives.

    Args:
        hosts: from `sources`.
    """
    several = {profile for profile, count in Counter(hosts.values()).items() if count > 1}
    return {
        name: f"{PARTS[profile]}-{name}" if profile in several else PARTS[profile]
        for name, profile in sorted(hosts.items())
    }


def running(target: Path) -> Path:
    """Where a hand-over is made until it is whole."""
    return target.with_name(target.name + _RUNNING)


def begin(target: Path, slug: str) -> Path:
    """Make the folder in which parts arrive; one that was cut begins anew.

    Raises:
        HandOverError: the place is taken by something else.
    """
    folder = running(target)
    if target.exists():
        raise HandOverError(f"{target} existe déjà, et n'est pas la remise de {slug} : choisissez un autre dossier")
    try:
        if folder.exists():
            if (store.read_json(folder / FACTS) or {}).get("commune", {}).get("slug") != slug:
                raise HandOverError(f"{folder} n'est pas une remise de {slug} interrompue : déplacez-le, puis relancez")
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700, parents=True)
        store.write_json(folder / FACTS, {"commune": {"slug": slug}})
    except OSError as error:
        raise HandOverError(f"{folder} ne peut pas être écrit : {reason(error)}") from error
    return folder


def arrived(folder: Path, hosts: Mapping[str, str]) -> list[str]:
    """Parts that machines gave: each gives its own, but an archive room that never heard of the commune.

    Args:
        folder: from `begin`.
        hosts: from `sources`.

    Raises:
        HandOverError: one is not there.
    """
    given = {name: part for name, part in parts(hosts).items() if (folder / f"{part}.tar").is_file()}
    if silent := [name for name in sorted(hosts) if name not in given and hosts[name] != "archive_gateway"]:
        raise HandOverError(
            f"rien n'est venu de {', '.join(silent)}. À faire : voyez que l'inventaire nomme bien cette machine "
            "(ansible-inventory --graph), puis relancez la même commande"
        )
    order = [*PARTS]
    return [given[name] for name in sorted(given, key=lambda name: (order.index(hosts[name]), name))]


def unpack(folder: Path, part: str) -> None:
    """Open a part that arrived as ``part.tar``; it stays as it is when this disk cannot hold its names.

    Raises:
        HandOverError: it is damaged.
    """
    packed, opened = folder / f"{part}.tar", folder / part
    shutil.rmtree(opened, ignore_errors=True)
    try:
        with tarfile.open(packed, "r:") as tar:  # as machines pack: nothing grows when it is opened
            # A list of digests holds one name a line, and what a link leads to is not in it.
            if not all(member.name.isprintable() and not member.issym() for member in tar):
                return
            tar.extractall(opened, filter="data")
    except tarfile.FilterError as error:
        raise HandOverError(f"{part} : la machine a envoyé ce qu'elle ne devait pas ({error}). Vérifiez-la") from error
    except (tarfile.TarError, EOFError) as error:
        raise HandOverError(f"{part} : reçu abîmé ({reason(error)}). À faire : relancez") from error
    except OSError as error:
        shutil.rmtree(opened, ignore_errors=True)
        if error.errno in _DISK_FULL_ERRNOS:
            raise HandOverError(f"{part} : {reason(error)}. À faire : un disque plus grand, puis relancez") from error
        return
    opened.mkdir(exist_ok=True)
    packed.unlink()


_DISK_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


def finish(
    folder: Path,
    commune: Commune,
    parts: Sequence[str],
    file: Path,
    operator: str,
    keys: SealKeys,
    entity: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write what tells of the hand-over, and seal it.

    Args:
        folder: from `begin`, with its parts.
        commune: its file, read.
        parts: those that arrived.
        file: the commune's file.
        operator: who made it.
        keys: of the seal.
        entity: the one of `hosted` that leaves alone; without it, the commune leaves with all of them.

    Returns:
        The facts of the hand-over.

    Raises:
        HandOverError: it could not be sealed.
    """
    own = {"slug": commune.slug, "nom": str(commune.data["nom"]), "siren": str(commune.data["siren"])}
    whose = {key: str(entity[key]) for key in own} if entity else own
    facts: dict[str, Any] = {
        "version": 1,
        "commune": whose,
        "le": now().isoformat(timespec="seconds"),
        "operateur": operator,
        "parties": {part: _measure_part(folder, part) for part in parts},
        "en_cours": _pending_acts(folder),
    }
    if entity:
        facts |= {"heberge_par": own, "type": entity["type"]}
    elif inside := hosted(commune):
        facts["entites"] = [
            {key: one[key] for key in ("slug", "nom", "siren")} | {"archives": has_archives(folder / one["dossier"])}
            for one in inside
        ]
    listed = "\n".join(f"- {part} : {_PART_DESCRIPTIONS[part.rpartition('/')[2].partition('-')[0]]}" for part in parts)
    named = {"digests": DIGESTS, "signature": SIGNATURE, "timestamp": TIMESTAMP, "signer": SIGNER, "unit": UNIT}
    named["who"] = indent(WHO, "    ")
    text = _HANDOVER_README.format(**whose, day=f"{datetime.now(UTC):%d/%m/%Y}", parts=listed, **named)
    (folder / "LISEZMOI.txt").write_text(text, encoding="utf-8")
    shutil.copyfile(file, folder / "commune.yml")
    store.write_json(folder / FACTS, facts)
    try:
        seal(folder, keys)
    except SealError as error:
        raise HandOverError(f"la remise n'est pas signée : {error}") from error
    return facts


def _pending_acts(folder: Path) -> list[str]:
    """What had not come to its end when it was handed over, in French: it is there as it stood."""
    told = []
    moving = 0
    places = [folder, *folder.glob("entites/*")]
    for path in (path for place in places for path in place.glob("teletransmission*/journal.json")):
        journal = store.read_json(path)
        states = journal.get("etats", {}) if isinstance(journal, dict) else {}
        moving += sum(int(states.get(state, 0)) for state in _SENDING)
    if moving:
        told.append(f"teletransmission : {moving} en cours d'envoi, sans leur accusé")
    waiting: dict[str, int] = {}
    for path in (path for place in places for path in place.glob("parapheur*/*/document.json")):
        state = ((store.read_json(path) or {}).get("dossier") or {}).get("etat")
        if state and state not in _FINAL_ACT_STATES:
            waiting[state] = waiting.get(state, 0) + 1
    told += [f"parapheur : {count} « {state} »" for state, count in sorted(waiting.items())]
    return told


def _measure_part(folder: Path, part: str) -> dict[str, int]:
    files = [folder / f"{part}.tar"] if not (folder / part).is_dir() else (folder / part).rglob("*")
    sizes = [path.stat().st_size for path in files if path.is_file()]
    return {"fichiers": len(sizes), "octets": sum(sizes)}


def publish(folder: Path, target: Path) -> None:
    """Have a sealed hand-over come to its place, once all of it is on the disk."""
    os.sync()  # of a disk that is carried away
    folder.rename(target)
    sync_directory(target.parent)


def check(target: Path, slug: str, root: Path) -> tuple[dict[str, Any], Verification]:
    """Verify a hand-over; gives its facts and what the seal says.

    Raises:
        HandOverError: it is none of this commune's.
    """
    facts = store.read_json(target / FACTS)
    if not isinstance(facts, dict) or (facts.get("commune") or {}).get("slug") != slug:
        raise HandOverError(f"{target} n'est pas la remise de {slug} : donnez son dossier avec --vers")
    return facts, verify(target, root)


@dataclass(frozen=True)
class Receipt:
    """Who signed for a hand-over.

    Attributes:
        signer: subject of the certificate.
        serial: its number, hexadecimal.
    """

    signer: str
    serial: str


def signing_sirens(facts: Mapping[str, Any]) -> list[str]:
    """SIREN of whose persons give receipt of a hand-over.

    The maire presides over a CCAS and a caisse des écoles (CASF, L123-6; code de l'éducation, R212-26): a person of the
    commune signs for these too.

    Args:
        facts: of the hand-over.
    """
    found = [str(facts["commune"]["siren"])]
    if facts.get("type") in ("ccas", "caisse_des_ecoles"):
        found.append(str(facts["heberge_par"]["siren"]))
    return found


def receipt(file: Path, target: Path, sirens: Sequence[str], authorities: Iterable[Path]) -> Receipt:
    """Check who signed for a hand-over: the very list of its digests, by a certificate in force of the commune.

    Args:
        file: the CMS signature, DER or PEM, detached (RFC 5652; CAdES is taken too).
        target: the hand-over.
        sirens: from `signing_sirens`; one is in the subject of its persons' certificates (OU « 0002 SIREN », RGS).
        authorities: PEM of those that are trusted, and their revocation lists; a certificate without a list in force
            is refused.

    Raises:
        HandOverError: with what is wrong.
    """
    if not file.is_file():
        raise HandOverError(f"{file} : introuvable. Le reçu est le fichier que la commune a signé (recu.p7s)")
    form = "PEM" if file.read_bytes()[:64].lstrip().startswith(b"-----BEGIN") else "DER"
    with tempfile.TemporaryDirectory() as scratch:
        trusted, signer = Path(scratch, "autorites.pem"), Path(scratch, "signataire.pem")
        trusted.write_text("\n".join(path.read_text(encoding="ascii") for path in authorities), encoding="ascii")
        told = signed_by(file, target / DIGESTS, trusted, signer, "-crl_check_all", form=form)
        if told:
            raise HandOverError(f"{file} : reçu refusé, {_openssl_reason(told)}")
        shown = openssl("x509", "-in", signer, "-noout", "-subject", "-serial", "-nameopt", "RFC2253,utf8,-esc_msb")
        certificate = x509.load_pem_x509_certificate(signer.read_bytes())
    subject = re.search(r"^subject=(.*)$", shown.stdout, re.M)
    serial = re.search(r"^serial=([0-9A-F]+)$", shown.stdout, re.M)
    if not subject or not serial:
        raise HandOverError(f"{file} : reçu refusé, son signataire ne se lit pas")
    who = identity.holder_of(certificate)
    if who.kind is not identity.Kind.NOBODY and who.siren not in sirens:
        whose = " ou ".join(sirens)
        raise HandOverError(f"{file} : reçu refusé, {subject[1]} n'est pas de la commune (SIREN {whose})")
    if who.kind is not identity.Kind.PERSON:
        raise HandOverError(
            f"{file} : reçu refusé, « {subject[1]} » est une machine ou un service, pas une personne de la commune "
            "(un seul nom, un seul SIREN)"
        )
    return Receipt(subject[1], serial[1].lower())


def _openssl_reason(stderr: str) -> str:
    known = {
        SEVERAL: "il faut la signature d'une personne, et d'une seule",
        "certificate revoked": "le certificat est révoqué",
        "unable to get local issuer": "son autorité n'est pas admise (--autorites)",
        "self-signed certificate": "son autorité n'est pas admise (--autorites)",
        "unable to get certificate CRL": "son autorité n'a pas de liste de révocation ici (--autorites)",
        "CRL has expired": "la liste de révocation de son autorité est périmée",
        "certificate has expired": "le certificat est expiré",
        "digest failure": "ce n'est pas la liste des empreintes de cette remise qui est signée",
        "verification failure": "ce n'est pas la liste des empreintes de cette remise qui est signée",
    }
    lowered = stderr.lower()
    return next(
        (french for words, french in known.items() if words.lower() in lowered), "ce n'est pas une signature CMS"
    )
