# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Checks of a host before it is rolled out, and its certificates; runs on the host, standard library only."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.words import size

Check = dict[str, Any]

GIB = 1 << 30
# A commune's clock: TLS and timestamps bear a few seconds; certificates and acts dated wrongly do not.
CLOCK_WARNING_S = 5.0
CLOCK_LIMIT_S = 60.0
EXPIRY_WARNING_DAYS = 60


def check(key: str, label: str, verdict: str, detail: str, remedy: str = "", **measures: Any) -> Check:
    """One result: verdict ``ok``, ``attention`` or ``echec``; a remedy when it is not ok."""
    return {
        "cle": key,
        "libelle": label,
        "verdict": verdict,
        "detail": detail,
        "remede": remedy,
        "mesures": measures,
    }


def _format_size(octets: float) -> str:
    return f"{octets / GIB:.1f} Gio".replace(".", ",")


def check_system(root: Path) -> Check:
    """Debian 13 is what the roles are made and tested for."""
    try:
        lines = (root / "etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    fields = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    name = fields.get("PRETTY_NAME", "système inconnu")
    if (fields.get("ID"), fields.get("VERSION_ID")) == ("debian", "13"):
        return check("systeme", "Système", "ok", name)
    return check(
        "systeme",
        "Système",
        "echec",
        f"{name} au lieu de Debian 13",
        "Installer Debian 13 (trixie) sur cet hôte.",
    )


def check_disk(root: Path, folders: tuple[str, ...], minimum: int) -> Check:
    """Free space for packages, logs and acts, in bytes for an ordinary user."""
    free: dict[str, int] = {}
    for folder in folders:
        path = root / folder.lstrip("/")
        if path.is_dir():
            stat = os.statvfs(path)
            free[folder] = stat.f_bavail * stat.f_frsize
    if not free:
        return check(
            "disque",
            "Espace disque",
            "echec",
            "aucun dossier du système n'est lisible",
            "Vérifier le disque.",
        )
    least = min(free, key=lambda folder: free[folder])
    detail = f"{_format_size(free[least])} libres dans {least}"
    if free[least] >= minimum:
        return check("disque", "Espace disque", "ok", detail, octets_libres=free[least])
    return check(
        "disque",
        "Espace disque",
        "echec",
        f"{detail}, il en faut {_format_size(minimum)}",
        f"Libérer de la place dans {least} (apt-get clean, journaux anciens) ou agrandir le disque.",
        octets_libres=free[least],
    )


def check_memory(root: Path, minimum: int) -> Check:
    """Memory of the machine, in bytes."""
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        text = ""
    match = re.search(r"^MemTotal:\s+(\d+) kB", text, flags=re.M)
    total = int(match[1]) * 1024 if match else 0
    if total >= minimum:
        return check("memoire", "Mémoire", "ok", _format_size(total), octets=total)
    return check(
        "memoire",
        "Mémoire",
        "echec",
        f"{_format_size(total)}, il en faut {_format_size(minimum)}",
        "Ajouter de la mémoire à cet hôte.",
        octets=total,
    )


def read_certificates(folder: Path) -> list[dict[str, str]]:
    """Certificates in place on the host: one for each ``<folder>/<name>/current/cert.pem``.

    openssl reads them, because it is there before anything of ours (ca-certificates depends on it).

    Returns:
        nom, titulaire (CN), sujet, emetteur (CN), numero, debut, fin (ISO 8601, UTC), empreinte (SHA-256);
        only nom and ``illisible`` (the reason) for a broken file.
    """
    found = []
    for path in sorted(folder.glob("*/current/cert.pem")):
        name = path.parent.parent.name
        done = subprocess.run(
            [
                *("openssl", "x509", "-in", str(path), "-noout", "-subject", "-issuer", "-serial"),
                *("-startdate", "-enddate", "-dateopt", "iso_8601", "-fingerprint", "-sha256"),
                *("-nameopt", "utf8,sep_comma_plus_space"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        fields = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
        if done.returncode or "notAfter" not in fields:
            found.append({"nom": name, "illisible": "ce n'est pas un certificat PEM"})
            continue

        def common_name(subject: str) -> str:
            match = re.search(r"(?:^|, )CN=([^,+]*)", subject)
            return match[1] if match else subject

        found.append(
            {
                "nom": name,
                "titulaire": common_name(fields["subject"]),
                "sujet": fields["subject"],
                "emetteur": common_name(fields["issuer"]),
                "numero": fields["serial"].lower(),
                "debut": fields["notBefore"].replace(" ", "T").replace("Z", "+00:00"),
                "fin": fields["notAfter"].replace(" ", "T").replace("Z", "+00:00"),
                "empreinte": fields["sha256 Fingerprint"].replace(":", "").lower(),
            }
        )
    return found


def check_certificates(certificates: list[dict[str, str]], now: dt.datetime) -> Check:
    """Dates of the certificates in place; the rollout renews the groupement's own: none of this stops it."""
    worries = []
    for item in certificates:
        if "illisible" in item:
            worries.append(f"{item['nom']} : {item['illisible']}")
            continue
        end = dt.datetime.fromisoformat(item["fin"])
        days = (end - now).days
        if end < now:
            worries.append(f"{item['nom']} a expiré le {end:%d/%m/%Y}")
        elif dt.datetime.fromisoformat(item["debut"]) > now:
            worries.append(f"{item['nom']} n'est pas encore valable")
        elif days < EXPIRY_WARNING_DAYS:
            worries.append(f"{item['nom']} expire le {end:%d/%m/%Y}, dans {days} jours")
    if worries:
        return check(
            "certificats",
            "Certificats en place",
            "attention",
            " ; ".join(worries),
            "Le déploiement renouvelle ceux du groupement ; demander les autres au fournisseur.",
        )
    detail = f"{len(certificates)} en cours de validité" if certificates else "aucun encore"
    return check("certificats", "Certificats en place", "ok", detail, nombre=len(certificates))


def check_clock(before: float, remote: float, after: float) -> Check:
    """Compare a host's clock with the control node's.

    Args:
        before, after: the control node's clock around the call, in seconds.
        remote: the host's clock during the call, in seconds. Anything between `before` and `after` is
            right as far as can be told.
    """
    offset = remote - before if remote < before else max(0.0, remote - after)
    way = "avance" if offset > 0 else "retard"
    if abs(offset) <= CLOCK_WARNING_S:
        return check("horloge", "Horloge", "ok", "à l'heure du poste de contrôle", ecart_s=round(abs(offset), 1))
    return check(
        "horloge",
        "Horloge",
        "attention" if abs(offset) <= CLOCK_LIMIT_S else "echec",
        f"{way} d'au moins {abs(offset):.0f} s sur le poste de contrôle",
        "Remettre l'hôte à l'heure et activer la synchronisation (timedatectl set-ntp true).",
        ecart_s=round(abs(offset), 1),
    )


def check_backup(root: Path, max_age_hours: int, now: dt.datetime, *, required: bool = False) -> list[Check]:
    """Age of the last good backup, by this host's clock; nothing for a host that keeps nothing to save.

    Args:
        required: nothing may be done without a recent one.
    """
    worry = "echec" if required else "attention"
    if not required and not (root / "etc/creatic/sauvegarde/config.json").exists():
        return []
    try:
        told = json.loads((root / "var/lib/creatic-sauvegarde/derniere.json").read_text(encoding="utf-8"))
        made = dt.datetime.fromtimestamp(told["derniere_bonne"]["le"], dt.UTC)
    except (OSError, ValueError, KeyError):
        remedy = "fab sauvegarde.inscrire l'inscrit et fait la première."
        return [check("sauvegarde", "Sauvegarde", worry, "jamais faite", remedy)]
    hours = max(0.0, (now - made).total_seconds() / 3600)
    detail = f"faite il y a {hours:.0f} h, {size(told['derniere_bonne'].get('octets', 0))}"
    if hours <= max_age_hours:
        return [check("sauvegarde", "Sauvegarde", "ok", detail, heures=round(hours, 1))]
    remedy = f"Au-delà de {max_age_hours} h. La raison : journalctl -u creatic-sauvegarde, sur la machine."
    if required:
        detail, remedy = f"dernière sauvegarde {detail}", f"{remedy} En faire une : sudo creatic-sauvegarde faire."
    return [check("sauvegarde", "Sauvegarde", worry, detail, remedy, heures=round(hours, 1))]


def run_checks(
    root: Path,
    min_disk: int,
    min_memory: int,
    now: dt.datetime,
    backup_max_age_hours: int = 48,
    *,
    backup_required: bool = False,
) -> list[Check]:
    """Every check that the host makes by itself.

    Args:
        root: ``/``, or a tree of the same shape.
        min_disk, min_memory: bytes.
        backup_max_age_hours: age from which its backup is too old.
        backup_required: a backup that is too old, or was never made, stops it.
    """
    return [
        check_system(root),
        check_disk(root, ("/", "/var", "/tmp", "/boot"), min_disk),  # noqa: S108 - a mount point to measure
        check_memory(root, min_memory),
        check_certificates(read_certificates(root / "etc/creatic/pki"), now),
        *check_backup(root, backup_max_age_hours, now, required=backup_required),
    ]
