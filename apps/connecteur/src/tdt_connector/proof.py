"""The proof that a commune can transmit: connection, RGS, nomenclature, and a test act to its ARActe.

And that the doors which its services gave it let it in: the passerelle's and the archive's. They are only asked.
"""

from __future__ import annotations

import string
import time
from datetime import datetime
from typing import Any

from creatic_agent.durable import write

from .archive import ArchiveError, Sae
from .classification import Classification, ClassificationError
from .classification import parse as parse_classification
from .config import Config
from .doctor import FAIL, OK, WARN
from .driver import Driver
from .errors import Refused, TdtError
from .handover import HandoverError, Passerelle
from .journal import FINAL, Journal, Row, State
from .trials import Trials

_LOOK = 0.5
_BASE36 = string.digits + string.ascii_uppercase
_KEPT = ("ARActe.xml", "acte-tamponne.pdf", "bordereau.pdf", "resume.json")


def _proof(key: str, label: str, verdict: str, detail: str, **measures: Any) -> dict[str, Any]:
    return {"cle": key, "libelle": label, "verdict": verdict, "detail": detail, "mesures": measures}


def failed(key: str, label: str, detail: str) -> dict[str, Any]:
    """A proof that could not be made."""
    return _proof(key, label, FAIL, detail)


def prove(config: Config, driver: Driver, production: bool, timeout: float, version: str = "") -> dict[str, Any]:
    """The proof protocol's document: {"preuves": [...], "fichiers": [...]}.

    In production the test act is only recorded at the TdT, then cancelled: nothing reaches the préfecture.

    Args:
        config: of the connector, or of an entity that it serves.
        driver: of its TdT.
        production: the TdT is a real one.
        timeout: seconds that the act is waited for.
        version: what is proved, when it is proved until it is: its acts are counted (`trials`). Empty: one act.
    """
    trials = Trials(config.folder_state, version) if version else None
    found = _transmission(config, driver, production, timeout, trials)
    found["preuves"] += doors(config)
    return found


def doors(config: Config) -> list[dict[str, Any]]:
    """What shows that the passerelle and the archive let this connector in; nothing of one that it does not have."""
    return [*_passerelle(config), *_archive(config)]


def _passerelle(config: Config) -> list[dict[str, Any]]:
    """Whether the passerelle says what this connector has to send; nothing is taken."""
    if not config.passerelle_url:
        return []
    label = "Porte de la passerelle"
    journal = Journal(config.journal)
    try:
        count = Passerelle(config, journal).count()
    except HandoverError as error:
        return [_proof("passerelle", label, FAIL, str(error))]
    finally:
        journal.close()
    detail = f"elle admet ce connecteur, et a {count} acte{'s' if count > 1 else ''} pour lui"
    return [_proof("passerelle", label, OK, detail, actes=count)]


def _archive(config: Config) -> list[dict[str, Any]]:
    """Whether the archive opens the commune's account to this connector; nothing is deposited."""
    if not config.archive_url:
        return []
    label = "Porte des archives"
    try:
        account, count = Sae(config).account()
    except ArchiveError as error:
        return [_proof("archivage", label, FAIL, str(error))]
    detail = f"elle ouvre à ce connecteur le compte « {account} », qui a {count} archive{'s' if count > 1 else ''}"
    return [_proof("archivage", label, OK, detail, compte=account, archives=count)]


def _transmission(
    config: Config, driver: Driver, production: bool, timeout: float, trials: Trials | None
) -> dict[str, Any]:
    proofs: list[dict[str, Any]] = []
    started = time.monotonic()
    try:
        driver.check_connection()
        took = round((time.monotonic() - started) * 1000)
        proofs.append(_proof("connexion", "Connexion au TdT", OK, f"{config.url} a répondu OK", duree_ms=took))
        proofs.append(_account(config, driver))
        proofs.append(_rgs(driver))
        classification = parse_classification(driver.classification())
        version = classification.version
        natures, matters = len(classification.natures), len(classification.matters)
        detail = f"version du {version:%d/%m/%Y}, {natures} natures, {matters} matières"
        proofs.append(
            _proof("classification", "Classification de la préfecture", OK, detail, version=version.isoformat())
        )
    except (TdtError, ClassificationError) as error:
        missing = (
            ("connexion", "Connexion au TdT") if not proofs else ("classification", "Classification de la préfecture")
        )
        proofs.append(_proof(*missing, FAIL, str(error)))
        proofs.append(_proof("acte", "Acte de test", FAIL, "non tenté : la connexion n'est pas prouvée"))
        return {"preuves": proofs, "fichiers": []}
    proof, files = _test_act(config, driver, classification, production, timeout, trials)
    proofs.append(proof)
    return {"preuves": proofs, "fichiers": files}


def _account(config: Config, driver: Driver) -> dict[str, Any]:
    logins = driver.logins()
    if len(logins) == 1 or (logins and config.identifiant):
        name = config.identifiant or logins[0]
        return _proof("compte", "Compte au TdT", OK, f"le certificat mène au compte « {name} »", comptes=len(logins))
    detail = "aucun compte n'est lié au certificat" if not logins else f"plusieurs comptes : {', '.join(logins)}"
    return _proof("compte", "Compte au TdT", FAIL, detail, comptes=len(logins))


def _rgs(driver: Driver) -> dict[str, Any]:
    if driver.is_rgs():
        return _proof("rgs", "Certificat RGS", OK, "le TdT admet le certificat pour télétransmettre")
    return _proof("rgs", "Certificat RGS", FAIL, "le TdT ne tient pas le certificat pour RGS")


def test_number(now: datetime) -> str:
    """A number of 15 characters, one per second: TEST_ + YYMMDD + the second of the day in base 36."""
    seconds = now.hour * 3600 + now.minute * 60 + now.second
    digits = ""
    for _ in range(4):
        seconds, rest = divmod(seconds, 36)
        digits = _BASE36[rest] + digits
    return f"TEST_{now:%y%m%d}{digits}"


def _test_act(
    config: Config,
    driver: Driver,
    classification: Classification,
    production: bool,
    timeout: float,
    trials: Trials | None,
) -> tuple[dict[str, Any], list[str]]:
    now = datetime.now().astimezone()
    if trials and (kept := trials.proved(now, lasts=production)):
        return kept
    number = _on_its_way(config, trials.followed(now)) if trials else ""
    if trials and not number and (why := trials.refusal(now)):
        return _proof("acte", _label(production), FAIL, why), []
    if not number:
        number = test_number(now)
        if trials:
            trials.leaves(number, now)
        _deposit(config, classification, production, number, now)
    proof, files = _followed(config, driver, production, timeout, number)
    if trials and proof["verdict"] == OK:
        trials.keep(proof, files)
    return proof, files


def _label(production: bool) -> str:
    return "Acte de test enregistré puis annulé" if production else "Acte de test acquitté (ARActe)"


def _on_its_way(config: Config, number: str) -> str:
    """The number of an act, unless it ended, well or not, with nothing more to be made of it."""
    journal = Journal(config.journal)
    try:
        row = next(iter(journal.find(number)), None) if number else None
    finally:
        journal.close()
    return "" if row and row.state in FINAL and row.state is not State.ACKNOWLEDGED else number


def _deposit(config: Config, classification: Classification, production: bool, number: str, now: datetime) -> None:
    nature = classification.nature("AU") or next(iter(classification.natures.values()))
    kind = next(
        (code for code in nature.types if code.startswith("99_") and code != "99_SE"),
        next(iter(nature.types)),
    )
    matters = [code for code in classification.matters if "." in code]
    subject = f"Acte de test du connecteur, sans portée juridique ({now:%d/%m/%Y %H:%M:%S})"
    lines = [
        f"numero: {number}",
        f'objet: "{subject}"',
        f"date: {now:%Y-%m-%d}",
        f"nature: {nature.code}",
        f"classification: {'9.1' if '9.1' in matters else matters[0]}",
        f"type: {kind}",
        f"en_attente: {'oui' if production else 'non'}",
        "transmission: oui",
    ]
    # The description comes last: the pair is complete when it appears.
    write(config.folder_depot / f"{number}.pdf", test_pdf(subject, number), mode=0o660)
    write(config.folder_depot / f"{number}.yml", ("\n".join(lines) + "\n").encode(), mode=0o660)


def _followed(
    config: Config, driver: Driver, production: bool, timeout: float, number: str
) -> tuple[dict[str, Any], list[str]]:
    label = _label(production)
    started = time.monotonic()
    journal = Journal(config.journal)
    try:
        row = _wait(journal, number, production, started + timeout)
    finally:
        journal.close()
    took = round(time.monotonic() - started, 1)
    measures: dict[str, Any] = {"numero": number, "secondes": took}
    if row is None:
        detail = f"le service n'a pas pris l'acte de test en {took:.0f} s (systemctl status tdt-connector)"
        return _proof("acte", label, FAIL, detail, **measures), []
    measures["transaction"] = row.transaction
    if production:
        return _cancel(driver, row, label, measures), []
    if row.state is not State.ACKNOWLEDGED or not row.idacte:
        detail = f"l'acte de test est « {row.state.label} » après {took:.0f} s. {row.detail}"
        return _proof("acte", label, FAIL, detail, **measures), []
    measures.update(idacte=row.idacte, aracte_le=row.acknowledged_on)
    folder = config.dossier / "acquittes" / row.idacte
    files = [str(folder / name) for name in _KEPT if (folder / name).is_file()]
    detail = f"ARActe {row.idacte} reçu en {took:.0f} s"
    return _proof("acte", label, OK, detail, **measures), files


def _wait(journal: Journal, number: str, production: bool, deadline: float) -> Row | None:
    while True:
        row = next(iter(journal.find(number)), None)
        if row and (row.filed if row.state in FINAL else row.state is State.TO_RECONCILE):
            return row
        if row and production and row.state is State.SENT:
            return row
        # Looked at once at least: a machine that was busy until the deadline is told what is there.
        if time.monotonic() >= deadline:
            return row
        time.sleep(_LOOK)


def _cancel(driver: Driver, row: Row, label: str, measures: dict[str, Any]) -> dict[str, Any]:
    if row.state is not State.SENT or row.transaction is None:
        detail = f"l'acte de test est « {row.state.label} ». {row.detail}"
        return _proof("acte", label, FAIL, detail, **measures)
    try:
        driver.cancel_act(row.transaction)
    except Refused as error:
        # S²LOW itself cancels acknowledged acts only: what counts, recorded and not transmitted, is proven.
        detail = (
            f"enregistré au TdT (transaction {row.transaction}), rien n'a été transmis à la préfecture. Le TdT ne "
            f"l'annule pas lui-même ({error}) : un administrateur peut l'y supprimer"
        )
        return _proof("acte", label, OK, detail, annule=False, **measures)
    except TdtError as error:
        detail = f"enregistré au TdT (transaction {row.transaction}), pas transmis ; annulation impossible : {error}"
        return _proof("acte", label, WARN, detail, annule=False, **measures)
    detail = f"enregistré au TdT (transaction {row.transaction}) puis annulé ; rien n'a été transmis à la préfecture"
    return _proof("acte", label, OK, detail, annule=True, **measures)


def test_pdf(subject: str, number: str) -> bytes:
    """A minimal valid PDF that says it is a test, written by hand (ISO 32000-1, 7.5)."""
    texts = [
        (20, "ACTE DE TEST"),
        (12, "Ce document vérifie la télétransmission. Il n'a aucune portée juridique."),
        (12, subject),
        (12, f"Numéro : {number}"),
    ]
    drawing = ["BT", "60 760 Td"]
    for size, text in texts:
        escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        drawing += [f"/F1 {size} Tf", f"({escaped}) Tj", "0 -28 Td"]
    drawing.append("ET")
    stream = "\n".join(drawing).encode("cp1252")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for rank, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (rank, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)
