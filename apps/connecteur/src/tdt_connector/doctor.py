"""The diagnosis: what works, what does not, and what to do, in words a technician understands."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

from creatic_agent.reasons import reason

from . import certificate
from .config import Config
from .depot import ignored
from .driver import Driver
from .drivers import DRIVERS
from .errors import Denied, TdtError
from .filing import FOLDERS
from .journal import Journal, State

OK, WARN, FAIL = "ok", "attention", "echec"
_SPACE_FAIL, _SPACE_WARN = 200_000_000, 1_000_000_000
_SKEW_WARN, _SKEW_FAIL = 30.0, 300.0
# RGS** certificates are renewed face to face: the first warning comes early.
_EXPIRY_DAYS = (90, 60, 30)
_ALIVE = 180.0
_NEW_CERTIFICATE = (
    "Demandez au groupement un nouveau certificat (procédure « renouveler les certificats »), "
    "puis relancez ce diagnostic."
)
# What to do, by kind of error (errors.py).
_REMEDIES = {
    "dns": "Vérifiez l'adresse « url » de la configuration et le serveur DNS de la machine (resolvectl status).",
    "tcp": "Vérifiez la liaison Internet de la commune et que le pare-feu laisse sortir le port 443 vers le TdT.",
    "delai": "Le TdT est lent ou surchargé : le connecteur réessaie seul. Si cela dure, appelez le support du TdT.",
    "coupure": "Un équipement réseau (pare-feu, proxy) coupe peut-être la liaison : le connecteur réessaie seul.",
    "panne": "La panne est chez le TdT : le connecteur réessaie seul. Si cela dure, appelez le support du TdT.",
    "client_revoque": _NEW_CERTIFICATE,
    "client_expire": _NEW_CERTIFICATE,
    "client_autorite": "Le certificat ne vient pas d'une autorité admise par le TdT : " + _NEW_CERTIFICATE.lower(),
    "client_inconnu": "Faites enregistrer ce certificat au TdT, sur le compte de la collectivité.",
    "client_refuse": "Faites vérifier par le TdT l'état de ce certificat (révocation, autorité, compte).",
    "client_absent": "Relancez le déploiement du connecteur : il demande et installe le certificat.",
    "client_cle": "Relancez le déploiement du connecteur : il installe une clé et un certificat assortis.",
    "compte": "Faites enregistrer ce certificat au TdT, sur un compte de la collectivité autorisé à télétransmettre.",
    "http": "Vérifiez l'adresse « url » de la configuration : elle ne mène pas à un TdT {platform}.",
    "reponse": "Vérifiez l'adresse « url » de la configuration : elle ne mène pas à un TdT {platform}.",
    "redirige": "Faites vérifier par le TdT le compte lié à ce certificat.",
    "rgs": "Le TdT n'admet pas ce certificat pour télétransmettre : il faut un certificat RGS.",
}
_SERVER_REMEDY = (
    "N'envoyez rien. Si l'horloge est juste, ce serveur n'est pas le TdT ou son certificat est mal renouvelé : "
    "appelez le support du TdT ; en cas de doute, prévenez le groupement."
)


@dataclass(frozen=True)
class Finding:
    """One point of the diagnosis."""

    cle: str
    libelle: str
    verdict: str
    detail: str
    remede: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def examine(config: Config, driver: Driver) -> list[Finding]:
    """Every finding, in the order in which to mend things."""
    findings = list(_folders(config))
    findings.append(_space(config))
    findings.append(_certificate(config))
    findings += _network(config, driver)
    findings += _journal(config)
    return findings


def _folders(config: Config) -> Iterator[Finding]:
    names = [
        "depot",
        "en_cours",
        "etat",
        "nomenclature",
        "lettres",
        "pes_retour",
        *set(FOLDERS.values()),
    ]
    wrong = []
    for name in names:
        path = config.dossier / name
        if not path.is_dir():
            wrong.append(f"{path} n'existe pas")
        elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            wrong.append(f"{path} n'est pas accessible en écriture au service")
    depot = config.folder_depot
    if depot.is_dir():
        mode = depot.stat().st_mode
        if not (mode & stat.S_IWGRP and mode & stat.S_ISGID):
            wrong.append(f"{depot} doit être ouvert en écriture à son groupe, avec le bit setgid (mode 2770)")
    if wrong:
        remedy = "Relancez le déploiement du connecteur : il rétablit dossiers et droits."
        yield Finding("dossiers", "Dossiers et droits", FAIL, " ; ".join(wrong), remedy)
    else:
        yield Finding("dossiers", "Dossiers et droits", OK, f"{config.dossier} est en ordre")
    if depot.is_dir() and os.access(depot, os.R_OK | os.X_OK):
        yield _depot(config)


def _depot(config: Config) -> Finding:
    limit = time.time() - 2 * config.delais.incomplet - 60
    old = [
        item.name
        for item in config.folder_depot.iterdir()
        if item.lstat().st_ctime < limit and (item.is_dir() or not item.name.startswith("."))
    ]
    if not old:
        return Finding("depot", "Dossier de dépôt", OK, "aucun fichier en souffrance")
    unfinished = [name for name in old if ignored(name)]
    remedy = "Déplacez ou supprimez ces éléments : les sous-dossiers et les fichiers .part ou .tmp ne sont pas pris."
    if not unfinished and not any((config.folder_depot / name).is_dir() for name in old):
        remedy = "Le service les prend-il ? Voyez « Service » plus bas et journalctl -u tdt-connector."
    return Finding("depot", "Dossier de dépôt", WARN, "en souffrance : " + ", ".join(sorted(old)[:10]), remedy)


def _space(config: Config) -> Finding:
    free = shutil.disk_usage(config.dossier if config.dossier.exists() else Path("/")).free
    detail = f"{free / 1e9:.1f} Go libres pour {config.dossier}"
    remedy = "Libérez de la place ; d'ici là, le connecteur garde les actes et ne perd rien."
    if free < _SPACE_FAIL:
        return Finding("disque", "Place sur le disque", FAIL, detail, remedy)
    if free < _SPACE_WARN:
        return Finding("disque", "Place sur le disque", WARN, detail, remedy)
    return Finding("disque", "Place sur le disque", OK, detail)


def _certificate(config: Config) -> Finding:
    label = "Certificat client"
    try:
        own = certificate.read(config.certificat, config.revocation)
    except certificate.CertificateError as error:
        return Finding("certificat", label, FAIL, str(error), _REMEDIES["client_absent"])
    now = datetime.now(UTC)
    who = f"« {own.subject} », délivré par « {own.issuer} », n° {own.serial:x}"
    if not own.key_matches:
        return Finding("certificat", label, FAIL, f"{who} : la clé n'est pas la sienne", _REMEDIES["client_cle"])
    if own.revoked_on:
        return Finding("certificat", label, FAIL, f"{who} : révoqué le {own.revoked_on:%d/%m/%Y}", _NEW_CERTIFICATE)
    if own.expires < now:
        return Finding("certificat", label, FAIL, f"{who} : expiré le {own.expires:%d/%m/%Y}", _NEW_CERTIFICATE)
    if own.starts > now:
        remedy = "Vérifiez l'horloge de la machine (timedatectl)."
        return Finding("certificat", label, FAIL, f"{who} : valable seulement le {own.starts:%d/%m/%Y}", remedy)
    if not own.signed_by_chain:
        detail = f"{who} : n'est pas signé par la chaîne installée avec lui (mauvaise autorité)"
        return Finding("certificat", label, FAIL, detail, _REMEDIES["client_autorite"])
    detail = f"{who}, valable jusqu'au {own.expires:%d/%m/%Y} ({own.days_left} jours)"
    reached = [days for days in _EXPIRY_DAYS if own.days_left < days]
    if reached:
        remedy = "Lancez le renouvellement maintenant : un certificat RGS** demande une remise en face à face."
        return Finding("certificat", label, WARN, f"{detail} : moins de {min(reached)} jours", remedy)
    return Finding("certificat", label, OK, detail)


def _network(config: Config, driver: Driver) -> Iterator[Finding]:
    parts = urlsplit(config.url)
    host, port = parts.hostname or "", parts.port or 443
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        yield Finding("dns", "Nom du TdT (DNS)", FAIL, f"{host} est introuvable", _REMEDIES["dns"])
        return
    yield Finding("dns", "Nom du TdT (DNS)", OK, f"{host} = {found[0][4][0]}")
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        detail = f"{host}:{port} ne répond pas ({reason(error)})"
        yield Finding("tcp", "Liaison avec le TdT (TCP)", FAIL, detail, _REMEDIES["tcp"])
        return
    yield Finding("tcp", "Liaison avec le TdT (TCP)", OK, f"{host}:{port} répond")
    try:
        driver.check_connection()
    except TdtError as error:
        yield from _connection_failure(config, driver, error)
        return
    yield from _answered(config, driver)
    yield Finding("connexion", "Connexion au TdT", OK, "le TdT reconnaît le certificat")
    yield from _rights(config, driver)


def _connection_failure(config: Config, driver: Driver, error: TdtError) -> Iterator[Finding]:
    detail, remedy = str(error), _REMEDIES.get(error.kind, "").format(platform=driver.platform)
    if error.kind.startswith("serveur"):
        yield Finding("tls", "Serveur prouvé (TLS)", FAIL, detail, _SERVER_REMEDY)
        return
    yield from _answered(config, driver)
    if error.kind == "client_refuse":
        # The server does not say why: what is known here about the certificate does.
        own = _certificate(config)
        if own.verdict == FAIL:
            detail, remedy = f"{detail} Vu d'ici : {own.detail}.", own.remede
        else:
            detail += " Vu d'ici, ses dates et sa signature sont bonnes : révocation, ou autorité inconnue du TdT."
    if isinstance(error, Denied):
        yield Finding("connexion", "Connexion au TdT", FAIL, detail, remedy)
    else:
        yield Finding("connexion", "Connexion au TdT", WARN, detail, remedy)


def _answered(config: Config, driver: Driver) -> Iterator[Finding]:
    """What any answer proves, even a refusal: the server is the TdT, and it tells the time."""
    if driver.server_date is None:
        return
    detail = f"le certificat de {urlsplit(config.url).hostname} est valable et de confiance"
    yield Finding("tls", "Serveur prouvé (TLS)", OK, detail)
    skew = abs((datetime.now(UTC) - driver.server_date).total_seconds())
    detail = f"{skew:.0f} s d'écart avec le TdT"
    verdict = FAIL if skew > _SKEW_FAIL else WARN if skew > _SKEW_WARN else OK
    remedy = "Réglez l'horloge (timedatectl ; systemctl status systemd-timesyncd ou chrony)." if verdict != OK else ""
    yield Finding("horloge", "Horloge", verdict, detail, remedy)


def _rights(config: Config, driver: Driver) -> Iterator[Finding]:
    label = "Compte au TdT"
    try:
        logins = driver.logins()
        if not logins:
            yield Finding("compte", label, FAIL, "aucun compte n'est lié au certificat", _REMEDIES["compte"])
        elif len(logins) > 1 and config.identifiant is None:
            detail = f"{len(logins)} comptes sont liés au certificat : {', '.join(logins)}"
            remedy = "Indiquez lequel employer : champ « compte » de la configuration (identifiant et mot de passe)."
            yield Finding("compte", label, FAIL, detail, remedy)
        else:
            yield Finding("compte", label, OK, f"le certificat mène au compte « {config.identifiant or logins[0]} »")
        if driver.is_rgs():
            yield Finding("rgs", "Certificat RGS", OK, "le TdT admet ce certificat pour télétransmettre")
        else:
            detail = "le TdT répond KO : il ne tient pas ce certificat pour RGS et refusera les actes"
            yield Finding("rgs", "Certificat RGS", FAIL, detail, _REMEDIES["rgs"])
    except TdtError as error:
        yield Finding("compte", label, FAIL, str(error), _REMEDIES.get(error.kind, "").format(platform=driver.platform))


def _journal(config: Config) -> Iterator[Finding]:
    label = "Journal"
    remedy = "Arrêtez le service, restaurez le journal depuis la sauvegarde et prévenez le groupement."
    if not config.journal.exists():
        yield Finding(
            "journal",
            label,
            FAIL,
            "il n'existe pas encore",
            "Démarrez le service : systemctl start tdt-connector.",
        )
        return
    try:
        journal = Journal(config.journal)
    except sqlite3.Error as error:
        yield Finding("journal", label, FAIL, f"illisible ({error})", remedy)
        return
    try:
        state = journal.integrity()
        if state == "ok":
            yield Finding("journal", label, OK, f"intègre, {sum(journal.counts().values())} dépôts")
        else:
            yield Finding("journal", label, FAIL, state, remedy)
        yield _service(journal)
        yield _nomenclature(config, journal)
        yield from _acts(config, journal)
    finally:
        journal.close()


def _service(journal: Journal) -> Finding:
    last = float(journal.value("cycle_le", "0"))
    if abs(time.time() - last) < _ALIVE:
        return Finding("service", "Service", OK, "le service travaille")
    when = f"depuis le {datetime.fromtimestamp(last):%d/%m/%Y à %H:%M}" if last else "il n'a jamais travaillé"
    remedy = "systemctl restart tdt-connector, puis journalctl -u tdt-connector."
    return Finding("service", "Service", FAIL, f"aucun signe de vie ({when})", remedy)


def _nomenclature(config: Config, journal: Journal) -> Finding:
    label = "Nomenclature de la préfecture"
    version, wanted = journal.value("nomenclature_version"), journal.value("nomenclature_exigee")
    remedy = "Le connecteur la redemande seul. Si cela dure, demandez au TdT de la récupérer auprès de la préfecture."
    if not version:
        return Finding("classification", label, FAIL, "pas encore reçue : aucun acte ne part", remedy)
    age = time.time() - float(journal.value("nomenclature_le", "0"))
    detail = f"version du {date.fromisoformat(version):%d/%m/%Y}, vérifiée il y a {age / 3600:.1f} h"
    if wanted > version:
        detail += f" ; la préfecture applique celle du {date.fromisoformat(wanted):%d/%m/%Y} : périmée, rien ne part"
        return Finding("classification", label, FAIL, detail, remedy)
    if age > config.delais.nomenclature_max:
        return Finding("classification", label, FAIL, f"{detail} : périmée, aucun acte ne part", remedy)
    return Finding("classification", label, OK, detail)


def _acts(config: Config, journal: Journal) -> Iterator[Finding]:
    contact = journal.value("contact_erreur")
    waiting = journal.rows(State.DEPOSITED, State.CHECKED, State.INTENT)
    stuck = [row for row in waiting if row.detail]
    if stuck:
        shown = " ; ".join(f"{row.title} : {row.detail}" for row in stuck[:5])
        yield Finding("attente", "Actes en attente", WARN, shown, "La cause est indiquée ; l'envoi reprendra seul.")
    elif contact and waiting:
        yield Finding("attente", "Actes en attente", WARN, f"{len(waiting)} en attente : {contact}")
    else:
        yield Finding("attente", "Actes en attente", OK, f"{len(waiting)} en cours d'envoi")
    parked = journal.rows(State.TO_RECONCILE)
    if parked:
        detail = " ; ".join(f"{row.title} : {row.detail}" for row in parked[:5])
        yield Finding(
            "rapprochement",
            "Actes à rapprocher",
            FAIL,
            detail,
            "Suivez l'indication donnée pour chaque acte.",
        )
    else:
        yield Finding("rapprochement", "Actes à rapprocher", OK, "aucun")
    limit, transmitted = time.time() - config.delais.statut3, DRIVERS[config.tdt].transmitted
    late = [
        row
        for row in journal.rows(State.SENT)
        if row.remote_status == transmitted and (row.status_since or limit) < limit
    ]
    if late:
        detail = "sans accusé de réception depuis trop longtemps (statut 3) : " + ", ".join(
            f"{row.title} (transaction {row.transaction}, depuis le "
            f"{datetime.fromtimestamp(row.status_since or 0):%d/%m/%Y})"
            for row in late[:5]
        )
        remedy = "Appelez le support du TdT avec le numéro de transaction ; ne déposez pas l'acte une seconde fois."
        yield Finding("statut3", "Accusés de réception", WARN, detail, remedy)
    else:
        yield Finding("statut3", "Accusés de réception", OK, "aucun retard")
