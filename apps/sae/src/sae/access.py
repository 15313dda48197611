"""Who asked to read what, what the law answered, and what was handed over.

A service versant reads its own archives at the door. Anybody else asks the archivist: his request is recorded, each of
its archives judged (`rights.py`), answered in writing within the month (CRPA, R311-13), handed over when the law lets
it be. Before the delays of L213-2 end, the administration des archives alone may permit it, after the agreement of the
authority whose documents they are, to who asked, within two months (Code du patrimoine, L213-3, I). Its decision is a
document: its digest, the request that it quotes and the day on which it ends are bound in a text that an agent of the
groupement signs, as for the visa of an elimination.

The sealed journal has every step and every handing over, by the request's mark. It never has the applicant's name,
which nobody could ever take out of it: the mark is a digest of the request, with a random number in it. Names are in
the register alone, and leave it (`forget`).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

from creatic_agent.book import Book
from creatic_agent.durable import write
from creatic_agent.spreadsheet import inert
from sae import inventory, letters, rights
from sae.agents import Trust
from sae.bordereau import normal
from sae.config import Account
from sae.export import bring
from sae.inventory import AcceptedArchive
from sae.journal import Journal, canonical
from sae.journal.log import format_time
from sae.refusal import OperationRefusedError
from sae.rights import Declared, Verdict
from sae.store import CorruptedObjectError, ObjectNotFoundError, Store, StoreError, first_good, replicas
from sae.versement.aip import members_of
from sae.versement.seda import MANIFEST

NAME = "acces.sqlite"
# Who asks: the service versant, for what is its own; or the public, whose quality the register shows alone.
SERVICE = "service"
QUALITIES = (SERVICE, "citoyen", "chercheur")
MAX_ARCHIVES_PER_REQUEST = 500  # archives of a request
_MAX_DECISION_BYTES = 50_000_000  # bytes of a decision
_ACCESS_BLOCK_BYTES = 1 << 20
# Days within which a request is answered, silence being a refusal (CRPA, R311-12 and R311-13), and a derogation
# decided (Code du patrimoine, L213-3, I).
ANSWERED, DECIDED = 30, 60
DECISION = "décision de consultation avant l'expiration des délais"
GRANTED, DENIED = "accordee", "refusee"
_REQUESTS_SCHEMA = """
CREATE TABLE IF NOT EXISTS demande (
  rang INTEGER PRIMARY KEY, marque TEXT NOT NULL UNIQUE, compte TEXT NOT NULL, recue_le TEXT NOT NULL,
  qualite TEXT NOT NULL, texte BLOB NOT NULL, empreinte TEXT NOT NULL, demandeur TEXT NOT NULL, contact TEXT NOT NULL,
  objet TEXT NOT NULL, par TEXT NOT NULL, repondue_le TEXT, lettre BLOB, derogation_le TEXT, derogation BLOB,
  effacee_le TEXT
);
CREATE INDEX IF NOT EXISTS sans_reponse ON demande(recue_le) WHERE repondue_le IS NULL;
CREATE TABLE IF NOT EXISTS objet (
  demande TEXT NOT NULL REFERENCES demande(marque), aip TEXT NOT NULL, sha512 TEXT NOT NULL,
  PRIMARY KEY (demande, aip)
);
CREATE TABLE IF NOT EXISTS decision (
  sha512 TEXT PRIMARY KEY, demande TEXT NOT NULL REFERENCES demande(marque), texte BLOB NOT NULL, document BLOB,
  signature BLOB, signataire TEXT, deposee INTEGER UNIQUE
);
CREATE INDEX IF NOT EXISTS de_la_demande ON decision(demande);
CREATE TABLE IF NOT EXISTS remise (
  demande TEXT NOT NULL REFERENCES demande(marque), aip TEXT NOT NULL, le TEXT NOT NULL, seq INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS remises_de ON remise(demande);
CREATE TABLE IF NOT EXISTS occultation (
  demande TEXT NOT NULL REFERENCES demande(marque), aip TEXT NOT NULL, sha512 TEXT NOT NULL,
  motif TEXT NOT NULL, par TEXT NOT NULL, PRIMARY KEY (demande, aip)
);
CREATE TABLE IF NOT EXISTS regle (
  aip TEXT PRIMARY KEY, sha512 TEXT NOT NULL, entier INTEGER NOT NULL, texte TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS classement (
  rang INTEGER PRIMARY KEY, aip TEXT NOT NULL, regle TEXT NOT NULL, depuis TEXT NOT NULL, motif TEXT NOT NULL,
  par TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS classement_de ON classement(aip);
"""


class Register(Book):
    """The register of requests."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _REQUESTS_SCHEMA)

    def request(self, mark: str) -> sqlite3.Row:
        """A request by its mark, as somebody typed it. Raises Refused if there is none."""
        rows = self.rows("SELECT * FROM demande WHERE marque = ?", normal(mark))
        if not rows:
            raise OperationRefusedError(
                f"aucune demande « {mark[:40]} » au registre (« sae-acces registre » les montre)"
            )
        found: sqlite3.Row = rows[0]
        return found

    def objects(self, mark: str) -> dict[str, str]:
        """Archives of a request: identifier and digest."""
        rows = self.rows("SELECT aip, sha512 FROM objet WHERE demande = ? ORDER BY aip", mark)
        return {str(row["aip"]): str(row["sha512"]) for row in rows}

    def decision(self, mark: str) -> dict[str, Any]:
        """The latest decision on a request, once signed; empty without one."""
        query = "SELECT texte FROM decision WHERE demande = ? AND deposee IS NOT NULL ORDER BY deposee DESC LIMIT 1"
        rows = self.rows(query, mark)
        found: dict[str, Any] = json.loads(rows[0]["texte"]) if rows else {}
        return found

    def concealed(self, mark: str) -> dict[str, sqlite3.Row]:
        """Copies of a request's archives without what may not be read, by archive: digest and reason."""
        return {str(row["aip"]): row for row in self.rows("SELECT * FROM occultation WHERE demande = ?", mark)}

    def list_overdue(self, today: date) -> tuple[list[str], list[str]]:
        """Requests without answer in time, and derogations without decision in time, oldest first."""
        query = "SELECT marque FROM demande WHERE repondue_le IS NULL AND recue_le < ? ORDER BY recue_le"
        answers = self.rows(query, (today - timedelta(days=ANSWERED)).isoformat())
        query = (
            "SELECT marque FROM demande WHERE derogation_le < ? AND NOT EXISTS"
            " (SELECT 1 FROM decision WHERE demande = marque AND deposee IS NOT NULL) ORDER BY derogation_le"
        )
        decisions = self.rows(query, (today - timedelta(days=DECIDED)).isoformat())
        return [str(row["marque"]) for row in answers], [str(row["marque"]) for row in decisions]

    def lines(self, account: str = "", year: int = 0) -> Iterator[dict[str, Any]]:
        """The register, line by line: what was asked, answered, decided, handed over."""
        query = (
            "SELECT demande.*, (SELECT COUNT(*) FROM objet WHERE demande = marque) AS archives,"
            " (SELECT COUNT(DISTINCT aip) FROM remise WHERE demande = marque) AS remises"
            " FROM demande WHERE (? = '' OR compte = ?) AND (? = 0 OR recue_le LIKE ?) ORDER BY rang"
        )
        for row in self.rows(query, account, account, year, f"{year:04d}-%"):
            decision = self.decision(row["marque"]) if row["derogation_le"] else {}
            yield {
                "rang": row["rang"],
                "demande": row["marque"],
                "compte": row["compte"],
                "recue_le": row["recue_le"],
                "qualite": row["qualite"],
                "demandeur": row["demandeur"],
                "objet": row["objet"],
                "archives": row["archives"],
                "repondue_le": row["repondue_le"] or "",
                "derogation_demandee_le": row["derogation_le"] or "",
                "decision": decision.get("sens", ""),
                "decision_reference": decision.get("reference", ""),
                "decision_jusqua": decision.get("jusqua", ""),
                "archives_remises": row["remises"],
            }


@dataclass(frozen=True)
class Handed:
    """What became of an archive of a request: its place, or why it is not handed over."""

    aip: str
    place: Path | None
    why: str


@dataclass
class Desk:
    """Where access is asked for.

    Attributes:
        years: of each access rule.
        clock: seconds since the epoch, as this machine believes.
        storage_clock: the same by the storage; None when it cannot be told. A delay has passed for both, and a
            derogation has ended for one.
        title: what an archive is called, by account and identifier; empty when it is not known.
        who: who types, for the journal.
    """

    journal: Journal
    store: Store
    book: Register
    trust: Trust
    accounts: Mapping[str, Account]
    agency: str
    years: Mapping[str, int]
    clock: Callable[[], float] = time.time
    storage_clock: Callable[[], float | None] = lambda: None
    title: Callable[[str, str], str] = lambda account, aip: ""
    who: str = ""
    _replicas: Sequence[tuple[str, Store]] = field(init=False)

    def __post_init__(self) -> None:
        self._replicas = replicas(self.store)

    # -- what the law says ---------------------------------------------------------------------------------

    def verdict(self, account: str, aip: str) -> Verdict:
        """Whether anybody may read an archive today. Raises Refused: there is none; StoreError."""
        return self._compute_verdict(self._find_archive(account, aip))

    def _judge_tolerantly(self, known: AcceptedArchive) -> Verdict:
        """The same, of one among others: a damaged archive keeps none of them from being judged."""
        try:
            return self._compute_verdict(known)
        except CorruptedObjectError as error:
            return Verdict(False, None, "", f"elle ne se lit pas aujourd'hui : {error}")

    def _compute_verdict(self, known: AcceptedArchive) -> Verdict:
        found = rights.judge(self._declared_rules(known), self.years, self._earliest_day())
        # A copy in another format is classified with its original.
        for aip in filter(None, (known.aip, inventory.original(known.title))):
            found = self._with_classification(found, aip)
        return found

    def _with_classification(self, found: Verdict, aip: str) -> Verdict:
        row = self._latest_classification(aip)
        if row is None:
            return found
        told = rights.judge(Declared(((row["regle"], row["depuis"]),), True), self.years, self._earliest_day())
        told_here = Verdict(told.communicable, told.since, told.code, f"{told.why}, classée par un archiviste")
        undetermined = not found.communicable and found.since is None
        return told_here if undetermined or told.severity() > found.severity() else found

    def _latest_classification(self, aip: str) -> sqlite3.Row | None:
        rows = self.book.rows("SELECT * FROM classement WHERE aip = ? ORDER BY rang DESC LIMIT 1", aip)
        return rows[0] if rows else None

    def _find_archive(self, account: str, aip: str) -> AcceptedArchive:
        known = inventory.find(self.journal, aip)
        if known is None or known.account != account:
            raise OperationRefusedError(f"{aip[:80]} : aucune archive du compte « {account} » n'a cet identifiant")
        return known

    def _declared_rules(self, known: AcceptedArchive) -> Declared:
        """Read once in the archive, whose digest is the journal's."""
        rows = self.book.rows("SELECT entier, texte FROM regle WHERE aip = ? AND sha512 = ?", known.aip, known.sha512)
        if not rows:
            found = first_good(self._replicas, lambda store: _rules_in(store, known))
            with self.book.transaction() as db:
                text = json.dumps(found.rules, ensure_ascii=False)
                db.execute(
                    "INSERT OR REPLACE INTO regle VALUES (?, ?, ?, ?)", (known.aip, known.sha512, found.whole, text)
                )
            return found
        return Declared(tuple((code, start) for code, start in json.loads(rows[0]["texte"])), bool(rows[0]["entier"]))

    def classify(self, account: str, aip: str, code: str, since: date, reason: str) -> Verdict:
        """Give an archive the access rule that its SIP did not say, or a later one. Raises Refused, StoreError."""
        known = self._find_archive(account, aip)
        if code not in self.years:
            raise OperationRefusedError(
                f"règle d'accès « {code[:40]} » inconnue ; connues : {', '.join(sorted(self.years))}"
            )
        if not reason.strip():
            raise OperationRefusedError("dites pourquoi (--motif) : le journal le garde")
        before = self._compute_verdict(known)
        after = rights.judge(Declared(((code, since.isoformat()),), True), self.years, self._earliest_day())
        if (before.communicable or before.since) and after.severity() < before.severity():
            raise OperationRefusedError(
                f"{aip} est {before.why} : un délai ne s'abrège pas ici, il y faut une dérogation (Code du patrimoine, "
                "L213-3)"
            )
        detail = {"regle": code, "depuis": since.isoformat(), "motif": reason.strip()[:300], "agent": self.who}
        self.journal.note("acces.classement", account, "succes", detail, aip)
        with self.book.transaction() as db:
            db.execute(
                "INSERT INTO classement (aip, regle, depuis, motif, par) VALUES (?, ?, ?, ?, ?)",
                (aip, code, since.isoformat(), reason.strip(), self.who),
            )
        return self._compute_verdict(known)

    # -- asked, answered -----------------------------------------------------------------------------------

    def record_request(
        self,
        account: str,
        aips: Iterable[str],
        applicant: str,
        quality: str,
        about: str = "",
        contact: str = "",
        received: date | None = None,
    ) -> tuple[str, dict[str, Verdict]]:
        """Record a request; gives its mark, and what the law says of each archive today.

        Raises:
            Refused: with all that is wrong.
            StoreError: the storage does not answer; nothing is recorded.
        """
        wanted, today = list(dict.fromkeys(aips)), self._earliest_day()
        day = received or today
        texts = [" ".join(text.split()) for text in (applicant, about, contact)]
        reasons = []
        if account not in self.accounts:
            raise OperationRefusedError(
                f"compte « {account[:80]} » inconnu ; connus : {', '.join(sorted(self.accounts))}"
            )
        if not texts[0] or any(len(text) > 500 or not text.isprintable() for text in texts):
            reasons.append("le demandeur est à nommer, son objet et son adresse en 500 caractères imprimables au plus")
        if quality not in QUALITIES:
            reasons.append(f"qualité « {quality[:40]} » inconnue : {', '.join(QUALITIES)}")
        if not wanted or len(wanted) > MAX_ARCHIVES_PER_REQUEST:
            reasons.append(
                f"une demande porte sur 1 à {MAX_ARCHIVES_PER_REQUEST} archives : {len(wanted)} sont données"
            )
        if day > self._latest_day():
            reasons.append(f"la demande serait reçue le {day:%d/%m/%Y}, un jour à venir")
        found = []
        for aip in wanted[: MAX_ARCHIVES_PER_REQUEST + 1]:
            try:
                found.append(self._find_archive(account, aip))
            except OperationRefusedError as error:
                reasons.append(str(error))
        if reasons:
            raise OperationRefusedError("demande refusée :\n" + "\n".join(f"  - {reason}" for reason in reasons[:50]))
        verdicts = {one.aip: self._judge_tolerantly(one) for one in found}
        document = {
            "document": "demande d'accès",
            "format": 1,
            "compte": account,
            "recue_le": day.isoformat(),
            "qualite": quality,
            "demandeur": texts[0],
            "objet": texts[1],
            "archives": [[one.aip, one.sha512] for one in found],
            "alea": secrets.token_hex(16),
        }
        text = canonical.encode(document).encode()
        digest = hashlib.sha512(text).hexdigest()
        mark = "DA-" + "-".join(digest[at : at + 4].upper() for at in range(0, 16, 4))
        with self.book.transaction() as db:
            db.execute(
                "INSERT INTO demande (marque, compte, recue_le, qualite, texte, empreinte, demandeur, contact, objet,"
                " par) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (mark, account, day.isoformat(), quality, text, digest, texts[0], texts[2], texts[1], self.who),
            )
            db.executemany("INSERT INTO objet VALUES (?, ?, ?)", [(mark, one.aip, one.sha512) for one in found])
        self._note_request(self.book.request(mark))
        return mark, verdicts

    def _note_request(self, row: sqlite3.Row) -> None:
        detail = {
            "demande": row["marque"],
            "demande_sha512": row["empreinte"],
            "qualite": row["qualite"],
            "archives": len(self.book.objects(row["marque"])),
            "agent": row["par"],
        }
        self.journal.note("acces.demande", row["compte"], "succes", detail, key=f"acces:{row['marque']}:demande")

    def allowed(self, mark: str) -> list[tuple[AcceptedArchive | None, str, bool, str]]:
        """Of each archive of a request: what it is, its identifier, whether who asked may have it today, and why."""
        row, today, last = self.book.request(mark), self._earliest_day(), self._latest_day()
        decision = self.book.decision(row["marque"])
        told: list[tuple[AcceptedArchive | None, str, bool, str]] = []
        for aip, sha512 in self.book.objects(row["marque"]).items():
            known = inventory.find(self.journal, aip)
            if known is None or known.account != row["compte"] or known.sha512 != sha512:
                told.append((None, aip, False, "elle n'est plus conservée ici (éliminée, ou transférée)"))
                continue
            if row["qualite"] == SERVICE:
                told.append((known, aip, True, "archive du service qui la demande"))
                continue
            verdict = self._judge_tolerantly(known)
            may, why = verdict.communicable, verdict.why
            if not may and decision:
                may, why = _by_decision(decision, verdict, today, last)
            told.append((known, aip, may, why))
        return told

    def answer(self, mark: str) -> tuple[bytes, int, int]:
        """The letter that answers a request today, and how many of its archives are communicated, and are not at all.

        The others are in part: a copy without what may not be read (`conceal`).
        """
        row = self.book.request(mark)
        self._check_not_erased(row)
        told, copies = self.allowed(mark), self.book.concealed(row["marque"])
        rows = [(self._archive_title(row["compte"], known, aip), aip, may, why) for known, aip, may, why in told]
        part = {aip for known, aip, may, _ in told if known is not None and not may and aip in copies}
        partly = [
            (title, aip, f"{why} ; occulté : {copies[aip]['motif']}") for title, aip, _, why in rows if aip in part
        ]
        rows = [one for one in rows if one[1] not in part]
        label = self._account_label(row["compte"])
        letter = letters.answer(row["marque"], label, self.agency, self._earliest_day(), row["demandeur"], rows, partly)
        given = sum(may for _, _, may, _ in told)
        self._note_request(row)
        detail = {
            "demande": row["marque"],
            "lettre_sha512": hashlib.sha512(letter).hexdigest(),
            "communiquees": given,
            "partielles": len(partly),
            "refusees": len(told) - given - len(partly),
            "agent": self.who,
        }
        self.journal.note("acces.reponse", row["compte"], "succes" if given == len(told) else "refus", detail)
        with self.book.transaction() as db:
            db.execute(
                "UPDATE demande SET repondue_le = COALESCE(repondue_le, ?), lettre = ? WHERE marque = ?",
                (self._earliest_day().isoformat(), letter, row["marque"]),
            )
        return letter, given, len(told) - given - len(partly)

    # -- in part -------------------------------------------------------------------------------------------

    def conceal(self, mark: str, aip: str, document: bytes, reason: str) -> None:
        """Note, for a request, the copy of an archive without what may not be read (CRPA, L311-7).

        The archive is what it was: this copy alone is handed over in its place, for this request alone. A later one
        replaces it. Its digest is kept, not itself: it would outlive its archive.

        Args:
            aip: of the request, and not to be communicated whole today.
            document: the copy (PDF).
            reason: what is taken out, and by what right (CRPA, L311-5 and L311-6; Code du patrimoine, L213-2).

        Raises:
            Refused: a copy that is none, or of an archive that is read whole, or of unknown rule.
            StoreError: the storage does not answer; nothing is kept.
        """
        row = self.book.request(mark)
        self._check_not_erased(row)
        if aip not in self.book.objects(row["marque"]):
            raise OperationRefusedError(f"{aip[:80]} n'est pas une archive de la demande {row['marque']}")
        if not document.startswith(b"%PDF-") or len(document) > _MAX_DECISION_BYTES:
            raise OperationRefusedError(
                f"la copie occultée est attendue en PDF, de {_MAX_DECISION_BYTES // 1_000_000} Mo au plus"
            )
        if not reason.strip():
            raise OperationRefusedError(
                "dites ce qui est occulté et pourquoi (--motif) : la lettre le dit (CRPA, L311-7 et L311-14)"
            )
        [(known, _, may, why)] = [one for one in self.allowed(mark) if one[1] == aip]
        if known is None or (not may and self._judge_tolerantly(known).since is None):
            raise OperationRefusedError(f"{aip} : {why}")
        if may:
            raise OperationRefusedError(f"{aip} se communique en entier ({why}) : rien n'est à occulter")
        digest, found = hashlib.sha512(document).hexdigest(), known
        if digest in first_good(self._replicas, lambda store: _digests_in(store, found)):
            raise OperationRefusedError("c'est une pièce de l'archive elle-même : rien n'y est occulté")
        told = " ".join(reason.split())[:500]
        self._note_request(row)
        detail = {"demande": row["marque"], "copie_sha512": digest, "motif": told, "agent": self.who}
        self.journal.note(
            "acces.occultation",
            row["compte"],
            "succes",
            detail,
            aip,
            key=f"acces:{row['marque']}:occultation:{aip}:{digest[:32]}",
        )
        with self.book.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO occultation VALUES (?, ?, ?, ?, ?)",
                (row["marque"], aip, digest, told, self.who),
            )

    # -- derogations ---------------------------------------------------------------------------------------

    def derogate(self, mark: str, reason: str) -> bytes:
        """The request to send to the administration des archives, for what cannot be communicated yet (PDF)."""
        row = self.book.request(mark)
        self._check_not_erased(row)
        if not reason.strip():
            raise OperationRefusedError(
                "dites l'intérêt de la consultation (--motif) : la décision en dépend (L213-3, I)"
            )
        kept = []
        for known, aip, may, why in self.allowed(mark):
            if known is None or may:
                continue
            if self._judge_tolerantly(known).since is None:
                raise OperationRefusedError(f"{aip} : {why}")
            kept.append((self._archive_title(row["compte"], known, aip), aip, why))
        if not kept:
            raise OperationRefusedError(
                f"rien de la demande {row['marque']} n'attend un délai : aucune dérogation n'est à demander"
            )
        letter = letters.derogation(
            row["marque"],
            self._account_label(row["compte"]),
            self.agency,
            self._earliest_day(),
            row["demandeur"],
            " ".join(reason.split())[:2000],
            kept,
        )
        self._note_request(row)
        detail = {
            "demande": row["marque"],
            "archives": len(kept),
            "agent": self.who,
            "document_sha512": hashlib.sha512(letter).hexdigest(),
        }
        self.journal.note("acces.derogation_demandee", row["compte"], "succes", detail)
        with self.book.transaction() as db:
            db.execute(
                "UPDATE demande SET derogation_le = COALESCE(derogation_le, ?), derogation = ? WHERE marque = ?",
                (self._earliest_day().isoformat(), letter, row["marque"]),
            )
        return letter

    def decide(
        self,
        mark: str,
        document: bytes,
        reference: str,
        until: date | None,
        agreed: str = "",
        quoted: str = "",
    ) -> bytes:
        """The text of a decision, that an agent signs: the request, the decision's document and its terms.

        Args:
            document: the decision (PDF).
            reference: by which the administration des archives knows it.
            until: the last day on which it permits; None for a refusal.
            agreed: reference of the agreement of the authority whose documents they are.
            quoted: the request that it is given for, as it says; needless when it is on the request's own file.

        Raises:
            Refused: a decision for another request, or without what the law asks.
        """
        row = self.book.request(mark)
        try:
            self._check_not_erased(row)
            if row["derogation"] is None:
                raise OperationRefusedError(
                    f"aucune dérogation n'a été demandée pour {row['marque']} (« sae-acces deroger »)"
                )
            if not document.startswith(b"%PDF-") or len(document) > _MAX_DECISION_BYTES:
                raise OperationRefusedError(
                    f"la décision est attendue en PDF, de {_MAX_DECISION_BYTES // 1_000_000} Mo au plus"
                )
            if document == row["derogation"]:
                raise OperationRefusedError(
                    "c'est la demande elle-même, et rien de l'administration des archives (L213-3)"
                )
            if not reference.strip():
                raise OperationRefusedError("la référence de la décision manque (--reference)")
            if not document.startswith(row["derogation"]) and not quoted.strip():
                raise OperationRefusedError(
                    f"recopiez la demande que la décision cite (--cite DA-…) ; celle-ci est {row['marque']}"
                )
            if quoted.strip() and normal(quoted) != row["marque"]:
                raise OperationRefusedError(
                    f"la décision est donnée pour la demande {normal(quoted)[:40]}, et non pour {row['marque']} : la "
                    "décision d'une autre demande ne permet rien (Code du patrimoine, L213-3)"
                )
            if until is not None and until < self._latest_day():
                raise OperationRefusedError(f"cette autorisation s'est terminée le {until:%d/%m/%Y}")
            if until is not None and not agreed.strip():
                raise OperationRefusedError(
                    "une autorisation demande l'accord de l'autorité dont émanent les documents (L213-3, I) : donnez "
                    "sa référence (--accord)"
                )
            sha512 = hashlib.sha512(document).hexdigest()
            text = self._decision_text(row, sha512, reference, until, agreed)
            with self.book.transaction() as db:
                found = db.execute("SELECT * FROM decision WHERE sha512 = ?", (sha512,)).fetchone()
                if found is not None and found["deposee"] is not None:
                    if bytes(found["texte"]) == text:
                        return text
                    raise OperationRefusedError(f"ce document est déjà la décision de la demande {found['demande']}")
                db.execute(
                    "INSERT OR REPLACE INTO decision (sha512, demande, texte, document) VALUES (?, ?, ?, ?)",
                    (sha512, row["marque"], text, document),
                )
        except OperationRefusedError as error:
            self._note_refusal(row, str(error))
            raise
        return text

    def _decision_text(self, row: sqlite3.Row, sha512: str, reference: str, until: date | None, agreed: str) -> bytes:
        return canonical.encode(
            {
                "document": DECISION,
                "format": 1,
                "demande": row["marque"],
                "demande_sha512": row["empreinte"],
                "compte": row["compte"],
                "archives": [list(one) for one in self.book.objects(row["marque"]).items()],
                "sens": GRANTED if until is not None else DENIED,
                "jusqua": until.isoformat() if until is not None else "",
                "reference": " ".join(reference.split())[:200],
                "accord": " ".join(agreed.split())[:200],
                "decision_sha512": sha512,
            }
        ).encode()

    def deposit(self, text: bytes, signature: bytes) -> dict[str, Any]:
        """Take a decision that an agent signed; gives its terms. The same one again changes nothing. Raises Refused."""
        try:
            document = json.loads(text)
            mark, sha512 = str(document["demande"]), str(document["decision_sha512"])
            if document["document"] != DECISION:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise OperationRefusedError("ce n'est pas une décision écrite par « sae-acces decision »") from None
        row = self.book.request(mark)
        try:
            agent, signer = self.trust.agent(text, signature, row["compte"])
            with self.book.transaction() as db:
                found = db.execute("SELECT * FROM decision WHERE sha512 = ?", (sha512,)).fetchone()
                if found is None or bytes(found["texte"]) != text:
                    raise OperationRefusedError(
                        "la décision n'est pas celle que « sae-acces decision » a écrite : refaites-la"
                    )
                if found["deposee"] is None:
                    db.execute(
                        "UPDATE decision SET signature = ?, signataire = ?,"
                        " deposee = (SELECT COALESCE(MAX(deposee), 0) + 1 FROM decision) WHERE sha512 = ?",
                        (signature, agent.name, sha512),
                    )
        except OperationRefusedError as error:
            self._note_refusal(row, str(error))
            raise
        self._note_request(row)
        detail = {
            name: document[name] for name in ("demande", "sens", "jusqua", "reference", "accord", "decision_sha512")
        }
        detail |= {"texte_sha512": hashlib.sha512(text).hexdigest(), "agent": agent.name, "certificat": signer.shown}
        self.journal.note("acces.derogation", row["compte"], "succes", detail, key=f"acces:{mark}:decision:{sha512}")
        found_document: dict[str, Any] = document
        return found_document

    # -- handed over ---------------------------------------------------------------------------------------

    def hand_over(self, mark: str, folder: Path, concealed: Sequence[Path] = ()) -> list[Handed]:
        """Write copies of what may be handed over; what may not be, or cannot, does not keep the rest.

        Args:
            concealed: files, among them the copies that `conceal` noted.

        Raises:
            Refused: there is no such request.
            OSError: the folder cannot be written; again, it goes on.
        """
        row = self.book.request(mark)
        self._check_not_erased(row)
        self._note_request(row)
        folder.mkdir(mode=0o750, exist_ok=True)
        done, copies = [], self.book.concealed(row["marque"])
        for known, aip, may, why in self.allowed(mark):
            if known is not None and not may and aip in copies:
                done.append(self._hand_part(row, copies[aip], folder, concealed))
                continue
            if known is None or not may:
                detail = {"demande": row["marque"], "raison": why[:500], "agent": self.who}
                self.journal.note("acces.refus", row["compte"], "refus", detail, aip)
                done.append(Handed(aip, None, why))
                continue
            # Told before a byte leaves.
            detail = {"demande": row["marque"], "aip_sha512": known.sha512, "raison": why[:500], "agent": self.who}
            seq = self.journal.note("acces.remise", row["compte"], "succes", detail, aip)
            try:
                place = bring(self._replicas, known, folder)
            except StoreError as error:
                detail = {"demande": row["marque"], "raison": str(error)[:500], "agent": self.who}
                self.journal.note("acces.remise_manquee", row["compte"], "echec", detail, aip)
                done.append(Handed(aip, None, str(error)))
                continue
            with self.book.transaction() as db:
                when = format_time(datetime.fromtimestamp(self.clock(), UTC))
                db.execute("INSERT INTO remise VALUES (?, ?, ?, ?)", (row["marque"], aip, when, seq))
            done.append(Handed(aip, place, why))
        return done

    def _hand_part(self, row: sqlite3.Row, copy: sqlite3.Row, folder: Path, files: Sequence[Path]) -> Handed:
        aip, why = str(copy["aip"]), f"en partie (CRPA, L311-7) ; occulté : {copy['motif']}"
        given = (one.read_bytes() for one in files)
        document = next((one for one in given if hashlib.sha512(one).hexdigest() == copy["sha512"]), None)
        if document is None:
            return Handed(aip, None, f"{why}. La copie occultée de cette demande manque : donnez-la (--occultees)")
        detail = {"demande": row["marque"], "copie_sha512": copy["sha512"], "raison": why[:500], "agent": self.who}
        seq = self.journal.note("acces.remise", row["compte"], "succes", detail, aip)
        place = folder / f"{aip}-occulte.pdf"
        write(place, document)
        with self.book.transaction() as db:
            when = format_time(datetime.fromtimestamp(self.clock(), UTC))
            db.execute("INSERT INTO remise VALUES (?, ?, ?, ?)", (row["marque"], aip, when, seq))
        return Handed(aip, place, why)

    # -- names leave ---------------------------------------------------------------------------------------

    def forget(self, before: date) -> int:
        """Take out of the register who asked, in requests answered before that day; gives how many.

        A request whose derogation still permits, or still waits for its decision, stays whole.
        """
        query = "SELECT * FROM demande WHERE repondue_le < ? AND effacee_le IS NULL"
        gone = 0
        for row in self.book.rows(query, before.isoformat()):
            decision = self.book.decision(row["marque"])
            if decision.get("jusqua", "") >= self._earliest_day().isoformat() or (
                row["derogation_le"] and not decision
            ):
                continue
            with self.book.transaction() as db:
                db.execute(
                    "UPDATE demande SET demandeur = '(effacé)', contact = '', objet = '', texte = x'', lettre = NULL,"
                    " derogation = NULL, effacee_le = ? WHERE marque = ?",
                    (self._earliest_day().isoformat(), row["marque"]),
                )
                db.execute("UPDATE decision SET document = NULL WHERE demande = ?", (row["marque"],))
            gone += 1
        if gone:
            detail = {"avant": before.isoformat(), "demandes": gone, "agent": self.who}
            self.journal.note("acces.effacement", "sae", "succes", detail)
        return gone

    # -- small ---------------------------------------------------------------------------------------------

    @staticmethod
    def _check_not_erased(row: sqlite3.Row) -> None:
        if row["effacee_le"]:
            raise OperationRefusedError(
                f"la demande {row['marque']} est close, son demandeur est effacé : enregistrez-en une autre"
            )

    def _archive_title(self, account: str, known: AcceptedArchive | None, aip: str) -> str:
        return self.title(account, aip) or (known.title if known else "")

    def _account_label(self, account: str) -> str:
        return self.accounts[account].label if account in self.accounts else account

    def _clock_days(self) -> tuple[date, date]:
        other = self.storage_clock()
        times = [self.clock()] if other is None else [self.clock(), other]
        return datetime.fromtimestamp(min(times), UTC).date(), datetime.fromtimestamp(max(times), UTC).date()

    def _earliest_day(self) -> date:
        """A wrong clock must not end a delay: the earlier day of this machine's and the storage's."""
        return self._clock_days()[0]

    def _latest_day(self) -> date:
        """Nor make a derogation last: the later one."""
        return self._clock_days()[1]

    def _note_refusal(self, row: sqlite3.Row, reason: str) -> None:
        detail = {"demande": row["marque"], "raison": reason[:500], "agent": self.who}
        self.journal.note("acces.refus", row["compte"], "refus", detail)


def _by_decision(decision: Mapping[str, Any], verdict: Verdict, today: date, last: date) -> tuple[bool, str]:
    """What a decision changes for an archive that nobody may read yet."""
    if verdict.since is None:  # its rule was unknown when the decision was asked for, or became so
        return False, verdict.why
    if decision["sens"] != GRANTED:
        return False, f"{verdict.why} ; dérogation refusée (décision {decision['reference']}, L213-3)"
    until = date.fromisoformat(decision["jusqua"])
    if last > until:
        return False, f"{verdict.why} ; dérogation {decision['reference']} terminée le {until:%d/%m/%Y}"
    return True, f"autorisée jusqu'au {until:%d/%m/%Y} (décision {decision['reference']}, L213-3)"


class _Digesting:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.digest = stream, hashlib.sha512()

    def read(self, count: int = -1) -> bytes:
        block = self._stream.read(count)
        self.digest.update(block)
        return block


def _read_blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_ACCESS_BLOCK_BYTES):
        yield block


def _rules_in(store: Store, known: AcceptedArchive) -> Declared:
    """The access rules of an archive, read in its own manifest; none in one that has no SEDA. Raises StoreError."""
    found = Declared()
    try:
        with closing(store.get(known.account, inventory.CONTAINER, known.name)) as raw:
            stream = _Digesting(raw)
            for name, _, content in members_of(cast(BinaryIO, stream)):
                if name == MANIFEST:
                    found = rights.declared(_read_blocks(content))
            while stream.read(_ACCESS_BLOCK_BYTES):
                pass
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise CorruptedObjectError(f"archive {known.aip} illisible : {error}") from error
    except ObjectNotFoundError:
        raise CorruptedObjectError(f"archive {known.aip} : elle n'est plus au stockage") from None
    if stream.digest.hexdigest() != known.sha512:
        raise CorruptedObjectError(f"archive {known.aip} : son SHA-512 n'est pas celui du journal")
    return found


def _digests_in(store: Store, known: AcceptedArchive) -> set[str]:
    """SHA-512 of each file of an archive. Raises StoreError."""
    try:
        with closing(store.get(known.account, inventory.CONTAINER, known.name)) as raw:
            return {hashlib.file_digest(cast(Any, content), "sha512").hexdigest() for _, _, content in members_of(raw)}
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise CorruptedObjectError(f"archive {known.aip} illisible : {error}") from error
    except ObjectNotFoundError:
        raise CorruptedObjectError(f"archive {known.aip} : elle n'est plus au stockage") from None


def figures(folder: Path, now: float) -> tuple[int, int]:
    """Requests without answer in time, and derogations without decision in time."""
    if not (folder / NAME).is_file():
        return 0, 0
    with closing(Register(folder / NAME)) as book:
        answers, decisions = book.list_overdue(datetime.fromtimestamp(now, UTC).date())
    return len(answers), len(decisions)


def cell(value: object) -> str:
    """A value as a cell of a CSV file: no spreadsheet takes a name for a formula."""
    return inert(" ".join(str(value).split()))
