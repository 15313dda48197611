"""The chain of hand-overs: one step at a time, each safe to make again.

An act's row says its step; `advance` makes the hand-over of that step, and moves the act on with what was answered.
Killed anywhere, it is made again from the row: the job that makes it is still in the queue. `on_step` hears the name
of each point on the way, for tests.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import psycopg

from . import deliberations as announced
from .config import Commune, Config
from .deliberations import Deliberations
from .errors import HandoverError, Refused
from .files import Files
from .ged import Ged, Piece
from .http import Server
from .parapheur import Parapheur
from .steps import FINISHED, FOLLOWED, PES, STEPS, after, place
from .store import Act, Store

log = logging.getLogger("passerelle")

# Of each circuit of acts: nature and type of document for the préfecture; type and folder in the document store.
NATURES = {
    "deliberation": ("1", "99_DE", "Délibération", ("Assemblées", "Délibérations")),
    "arrete": ("2", "99_AR", "Arrêté", ("Actes réglementaires", "Arrêtés du maire")),
    "marche": ("4", "99_DC", "Marché public", ("Finances", "Marchés publics")),
}
_FAILED = ("refusee", "en_erreur")
_REASON_MAX = 8000  # characters: Helios refuses a flow by its elements, each with its reason
# What ends an act of a commune which transmits nothing by this way: told to the deliberations' server, the parapheur.
TO_PUBLISH, CLOSED = "a_publier", "clos"
# Beginning of the references of what somebody brought to the parapheur.
_BORN_THERE = "parapheur:"
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


class BadRequest(Exception):
    """What was sent is refused; `status` is HTTP's. The text is French."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def fairly(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One of each commune in turn: the many of one never keep those of another waiting."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in items:
        rows.setdefault(str(one.get("commune") or ""), []).append(one)
    return [one for turn in itertools.zip_longest(*rows.values()) for one in turn if one is not None]


class Chain:
    """The hand-overs.

    Args:
        config: communes and servers.
        store: the acts.
        files: the documents.
        defer: puts a job in the queue, in a transaction: it makes the act's hand-overs until one is not due.
        on_step: hears the name of each point.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        files: Files,
        defer: Callable[[psycopg.Connection[Any], str], None],
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config, self._store, self._files, self._defer, self._step = config, store, files, defer, on_step
        self._tokens: dict[str, tuple[str, float]] = {}

    # The clients are made for each job: jobs run in threads, which share no session.

    def _server(self, name: str, called: str) -> tuple[Server, str, str]:
        account = self._config.servers[name]
        return Server(called, account.url, self._config.trust, self._tokens), account.login, account.password

    def _parapheur(self) -> Parapheur:
        return Parapheur(*self._server("parapheur", "le parapheur"))

    def _deliberations(self) -> Deliberations:
        return Deliberations(*self._server("deliberations", "le serveur des délibérations"))

    def _ged(self) -> Ged:
        return Ged(*self._server("ged", "la GED"), on_step=self._step)

    # -- the hand-overs ------------------------------------------------------------------------------------

    def advance(self, reference: str) -> bool:
        """Make the act's next hand-over; False when none is due. Raises HandoverError, psycopg.Error."""
        act = self._store.get(reference)
        if act is None:
            return False
        act = self._tell(act)
        if act.blocked or act.step == FINISHED:
            return False
        done = self._hand_over(act)
        if done is not None:
            self._move(act, done)
            return True
        if act.late:
            with self._store.transaction() as connection:
                self._store.change(connection, reference, late="")
        return False

    def _hand_over(self, act: Act) -> dict[str, Any] | None:
        """Make the hand-over of an act's step; None when what it waits for has not come."""
        step = STEPS[place(act.step)]
        if own := getattr(self, f"_do_{step.name}", None):
            done: dict[str, Any] | None = own(act)
            return done
        return {} if not step.word or self._reached(act, step.word) else None

    def _move(self, act: Act, done: dict[str, Any]) -> None:
        following = after(act.step, self._config, act.commune, act.data.get("circuit", ""))
        self._step(f"{act.step}: fait")
        with self._store.transaction() as connection:
            now = self._store.lock(connection, act.reference)
            if now.step != act.step:
                return
            track = now.track | done | {"essais": 0}
            self._store.change(connection, act.reference, step=following, track=track, late="")
            self._store.note(connection, act.reference, act.step)
        self._step(f"{act.step}: noté")

    def _remember(self, act: Act, **values: Any) -> Act:
        with self._store.transaction() as connection:
            now = self._store.lock(connection, act.reference)
            self._store.change(connection, act.reference, track=now.track | values, late="")
        return Act(**(vars(now) | {"track": now.track | values, "late": ""}))

    def _do_reception(self, act: Act) -> dict[str, Any]:
        """Documents come here."""
        client = self._deliberations()
        for item in [act.data["document"], *act.data["annexes"]]:
            if not self._files.path(item["sha256"]).is_file():
                found = self._files.keep(lambda stream, url=item["url"]: client.fetch(url, stream))  # type: ignore[misc] # bound now
                if found != item["sha256"]:
                    raise Refused(f"« {item['nom']} » n'est pas le document annoncé (empreinte différente).")
                self._step("reception: document gardé")
        return {}

    def _do_parapheur(self, act: Act) -> dict[str, Any]:
        """Into its circuit."""
        fields = act.data | {"reference": act.reference, "commune": act.commune}
        number = self._parapheur().deposit(fields, self._files.path(act.data["document"]["sha256"]))
        self._step("parapheur: déposé")
        return {"dossier": number}

    def _do_signature(self, act: Act) -> dict[str, Any] | None:
        return {} if act.track.get("signable") else None

    def _do_reprise(self, act: Act) -> dict[str, Any]:
        """The signed file comes back."""
        client, told = self._parapheur(), ""

        def write(stream: BinaryIO) -> None:
            nonlocal told
            told = client.fetch(act.track["dossier"], stream)

        kept = self._files.keep(write)
        wanted = act.track.get("sha256_signe") or told
        if kept != wanted:
            raise Refused("le fichier signé n'est pas celui que le parapheur annonce (empreinte différente).")
        self._step("reprise: signé gardé")
        return {"signe": kept}

    def _do_ged(self, act: Act) -> dict[str, Any]:
        """The act, its annexes and its ARActe are filed."""
        client = self._ged()
        commune = self._config.communes[act.commune].name
        _nature, _type, kind, cabinet = NATURES[act.data["circuit"]]
        metadata = {"numero": act.data["numero"], "date_acte": act.data["date"], "objet": act.data["objet"]}
        sent = dict(act.track.get("ged_envois", {}))
        filed = []
        for piece in self._pieces(act):
            progress = sent.setdefault(piece.mark, {})
            number = client.file(
                commune, kind, cabinet, piece, metadata, progress, lambda: self._remember(act, ged_envois=sent)
            )
            filed.append(number)
        return {"ged": filed, "ged_envois": {}}

    def _pieces(self, act: Act) -> list[Piece]:
        number, pdf = act.data["numero"], "application/pdf"
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", number)
        found = [(f"{number} - {act.data['objet']}", self._document(act), f"{plain}.pdf", pdf)]
        for rank, annex in enumerate(act.data["annexes"], start=1):
            name = Path(annex["nom"]).name
            kind = pdf if name.lower().endswith(".pdf") else "application/octet-stream"
            found.append((f"{number} - annexe {rank} : {name}", annex["sha256"], name, kind))
        tdt = act.tdt
        if tdt.get("ar_acte"):
            found.append((f"{number} - ARActe", tdt["ar_acte"], f"{tdt['id_acte']}-ARActe.xml", "text/xml"))
        pieces = []
        for rank, (label, digest, name, kind) in enumerate(found):
            # One word of letters: what the store's search finds.
            word = hashlib.sha256(f"{act.reference} {rank}".encode()).hexdigest()[:24].translate(_LETTERS)
            mark = f"{act.reference} {word}"
            pieces.append(Piece(mark, word, label[:250], self._files.path(digest), name, kind))
        return pieces

    @staticmethod
    def _document(act: Act) -> str:
        return str(act.track.get("signe") or act.data["document"]["sha256"])

    @staticmethod
    def _reached(act: Act, state: str) -> bool:
        said = act.tdt.get("etat", "")
        return said in FOLLOWED and FOLLOWED.index(said) >= FOLLOWED.index(state)

    # -- what the others are told --------------------------------------------------------------------------

    def _tell(self, act: Act) -> Act:
        """Tell the parapheur and the deliberations' server where the act is, each state once and in order."""
        has = self._config.has
        path = [
            *(["au_parapheur", "signee"] * has(act.commune, "parapheur")),
            *(["transmise", "acquittee"] if has(act.commune, "teletransmission") else [TO_PUBLISH]),
        ]
        for name, wanted, order in (
            ("parapheur", self._for_parapheur(act), ["teletransmis", "acquitte"]),
            ("deliberations", self._for_deliberations(act), path),
        ):
            last = act.track.get("dit", {}).get(name, "")
            if not wanted or last == wanted:
                continue
            begin = order.index(last) + 1 if last in order else 0
            for state in order[begin : order.index(wanted) + 1] if wanted in order[begin:] else [wanted]:
                if name == "parapheur":
                    self._parapheur().tell(act.track["dossier"], state, self._reason(act))
                else:
                    self._tell_deliberations(act, state)
                self._step(f"{name}: {state} dit")
                act = self._remember(act, dit=act.track.get("dit", {}) | {name: state})
        return act

    @staticmethod
    def _reason(act: Act) -> str:
        failed = act.track.get("echec") or act.track.get("refus") or {}
        return str(failed.get("motif", ""))

    def _for_parapheur(self, act: Act) -> str:
        if "dossier" not in act.track or not self._config.has(act.commune, "parapheur"):
            return ""
        if act.track.get("echec"):
            return "en_erreur"
        if not self._config.has(act.commune, "teletransmission"):
            return CLOSED * (place(act.step) > place("reprise"))
        return "acquitte" if self._reached(act, "acquittee") else "teletransmis" * self._reached(act, "transmise")

    def _for_deliberations(self, act: Act) -> str:
        if "uid" not in act.data or not self._config.has(act.commune, "deliberations"):
            return ""
        if act.track.get("echec"):
            return str(act.track["echec"]["etat"])
        if place(act.step) > place("aracte"):
            if act.tdt.get("id_acte"):
                return "acquittee"
            if not self._config.has(act.commune, "teletransmission"):
                return TO_PUBLISH
        if self._reached(act, "transmise"):
            return "transmise"
        if act.track.get("refus"):
            return "refusee"
        return "signee" if "signe" in act.track else "au_parapheur" * ("dossier" in act.track)

    def _tell_deliberations(self, act: Act, state: str) -> None:
        told: dict[str, Any] = {"etat": state}
        tdt, document = act.tdt, None
        if state in _FAILED:
            told["motif"] = self._reason(act)
        if state == "acquittee":
            told |= {key: tdt[key] for key in ("id_acte", "date_reception") if key in tdt}
            document = self._files.path(self._document(act))
        elif state == TO_PUBLISH and act.track.get("signe"):
            document = self._files.path(act.track["signe"])
        self._deliberations().tell(act.data["uid"], told, document)

    # -- what comes in -------------------------------------------------------------------------------------

    def look(self) -> None:
        """Look for what was adopted and what was signed. Raises the first server's failure, after all were asked."""
        failures = []
        for name, action in (("deliberations", self._look_adopted), ("parapheur", self._look_signed)):
            if name in self._config.servers:
                try:
                    action()
                except HandoverError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    def _look_adopted(self) -> None:
        items = fairly(self._deliberations().adopted())
        known = self._store.known([str(one.get("reference")) for one in items])
        for item in items:
            with self._apart(item):
                self._look_adopted_one(item, known.get(str(item.get("reference"))))

    @contextmanager
    def _apart(self, item: dict[str, Any]) -> Iterator[None]:
        """What cannot be made of one thing that was listed never keeps the others."""
        try:
            yield
        except psycopg.OperationalError:
            raise
        except (psycopg.Error, KeyError, TypeError, ValueError) as error:
            log.error("« %s » est laissé : %r", str(item.get("reference"))[:100], error)

    def _look_adopted_one(self, item: dict[str, Any], known: Act | None) -> None:
        wrong = announced.problem(item)
        reference = str(item.get("reference") or "")
        if wrong and not reference:
            log.error("Délibération adoptée sans référence, laissée : %s", wrong)
            return
        commune = str(item.get("commune") or "")
        if not wrong and commune not in self._config.communes:
            wrong = f"la commune « {commune} » n'est pas de celles que sert la passerelle."
        if wrong:
            wrongly = {"numero": str(item.get("numero", "")), "objet": str(item.get("objet", "")), "annexes": []}
            self.take(reference, commune, wrongly, "reception", blocked=f"Délibération mal annoncée : {wrong}")
            return
        data: dict[str, Any] = {
            "uid": item["uid"], "circuit": "deliberation", "numero": item["numero"], "date": item["date"][:10],
            "objet": item["objet"], "matiere": str(item.get("matiere") or ""),
            "document": _file(item["document"], f"{item['numero']}.pdf"),
            "annexes": [
                _file(one, f"annexe-{rank}.pdf") for rank, one in enumerate(item.get("annexes") or [], start=1)
            ],
        }  # fmt: skip
        if known is None:
            self.take(reference, commune, data, "reception")
        elif "document" not in known.data:
            self._correct(reference, commune, data)
        else:
            self._end(known, "deliberations", self._for_deliberations(known))

    def _end(self, act: Act, server: str, wanted: str) -> None:
        """An act which went through before its end could be told: it is now."""
        if act.step == FINISHED and wanted in (TO_PUBLISH, CLOSED) and act.track.get("dit", {}).get(server) != wanted:
            with self._store.transaction() as connection:
                self._defer(connection, act.reference)

    def _correct(self, reference: str, commune: str, data: dict[str, Any]) -> None:
        """An act that was badly announced is announced well now."""
        with self._store.transaction() as connection:
            self._store.change(connection, reference, commune=commune, data=data, blocked="")
            self._store.note(connection, reference, "corrige")
            self._defer(connection, reference)

    def take(
        self, reference: str, commune: str, data: dict[str, Any], step: str, blocked: str = "", **track: Any
    ) -> bool:
        """Take an act in, once; False when it is known."""
        with self._store.transaction() as connection:
            if not self._store.add(connection, reference, commune, data, step):
                return False
            if track:
                self._store.change(connection, reference, track=track)
            if blocked:
                self._store.change(connection, reference, blocked=blocked)
                self._store.note(connection, reference, "blocage", blocked)
            else:
                self._defer(connection, reference)
        self._step("entrée: notée")
        return True

    def deposit(self, commune: str, data: dict[str, Any], content: bytes) -> str:
        """Take in an act that no server holds (operations' command); gives its reference. Raises BadRequest."""
        if commune not in self._config.communes:
            raise BadRequest(f"La commune « {commune} » n'est pas de celles que sert la passerelle.")
        if not content.startswith(b"%PDF-"):
            raise BadRequest("Le fichier n'est pas un PDF.")
        digest = self._files.keep_bytes(content)
        document = {"sha256": digest, "nom": f"{data['numero']}.pdf"}
        reference = f"depot:{commune}:{data['numero']}"
        step = after("reception", self._config, commune)
        if not self.take(reference, commune, data | {"document": document, "annexes": []}, step):
            known = self._store.get(reference)
            if known and known.data["document"]["sha256"] != digest:
                raise BadRequest(f"{reference} est déjà dans la chaîne, avec un autre fichier.", 409)
        return reference

    def _look_signed(self) -> None:
        client = self._parapheur()
        ready = {str(one.get("reference")): one for one in client.listed("a_teletransmettre")}
        refused = {str(one.get("reference")): one for one in client.listed("refuse")}
        known = self._store.known(list(ready))
        for one in fairly(ready.values()):
            reference = str(one.get("reference"))
            with self._apart(one):
                if reference in known:
                    self._end(known[reference], "parapheur", self._for_parapheur(known[reference]))
                elif reference.startswith(_BORN_THERE) and one["circuit"] in (*NATURES, PES):
                    self._take_signed(reference, one)
        for act in self._store.at("signature"):
            news: dict[str, Any] = {}
            if act.reference in ready:
                news = {"signable": True, "sha256_signe": ready[act.reference].get("sha256"), "refus": None}
                if act.track.get("signable"):
                    continue
            elif act.reference in refused:
                said = refused[act.reference]
                news = {"refus": {"motif": str(said.get("motif") or ""), "par": str(said.get("par") or "")}}
            elif act.track.get("refus"):
                news = {"refus": None}
            if news and {key: act.track.get(key) for key in news} != news:
                self._hear(act.reference, news, "refus" if news["refus"] else "")

    def _take_signed(self, reference: str, one: dict[str, Any]) -> None:
        """Take in an act that somebody brought to the parapheur, once it is signed there."""
        commune = str(one["commune"])
        if commune not in self._config.communes:
            return
        data: dict[str, Any] = {key: one[key] for key in ("circuit", "numero", "date", "objet", "matiere")}
        data["numero"] = one["numero"] or "flux"
        name = f"{data['numero']}.{'xml' if one['circuit'] == PES else 'pdf'}"
        data |= {"document": {"nom": name}, "annexes": []}  # only what was signed is taken
        self.take(reference, commune, data, "signature", dossier=one["id"])

    def _hear(self, reference: str, news: dict[str, Any], noted: str) -> None:
        """Note what others said of an act, and have it move on."""
        with self._store.transaction() as connection:
            now = self._store.lock(connection, reference)
            self._store.change(connection, reference, track=now.track | news)
            if noted:
                self._store.note(connection, reference, noted, json.dumps(news, ensure_ascii=False))
            self._defer(connection, reference)

    # -- the connectors ------------------------------------------------------------------------------------

    def to_send(self, commune: Commune) -> list[dict[str, Any]]:
        """What a commune's connector has to send, `fichier` and annexes being named by their SHA-256."""
        found = []
        for act in self._store.to_send(commune.slug):
            sent = {key: act.data[key] for key in ("numero", "date", "objet", "matiere")} | {
                "reference": act.reference,
                "sha256": self._document(act),
                "annexes": [{"nom": one["nom"], "sha256": one["sha256"]} for one in act.data["annexes"]],
            }
            if act.data["circuit"] == PES:
                found.append(sent | {"genre": PES})
            else:
                nature, kind, _type, _cabinet = NATURES[act.data["circuit"]]
                found.append(sent | {"genre": "acte", "nature": nature, "type": kind})
        return found

    def document(self, commune: Commune, sha256: str) -> Path | None:
        """A document that the commune's connector has to send."""
        for one in self.to_send(commune):
            if sha256 in (one["sha256"], *(annex["sha256"] for annex in one["annexes"])):
                return self._files.path(sha256)
        return None

    def follow(self, commune: Commune, said: dict[str, Any], ar_acte: bytes | None) -> None:
        """Hear a connector. The same thing said again changes nothing. Raises BadRequest."""
        reference, state = str(said.get("reference") or ""), str(said.get("etat") or "")
        act = self._store.get(reference)
        if act is None or act.commune != commune.slug:
            raise BadRequest(f"Aucun acte de {commune.name} n'a la référence « {reference[:100]} ».", 404)
        if state not in FOLLOWED + _FAILED:
            raise BadRequest(f"Champ « etat » : « {state[:40]} » est inconnu.")
        tdt = dict(act.tdt)
        if state == tdt.get("etat") or (state in FOLLOWED and self._reached(act, state)):
            return
        sent = place("teletransmission") <= place(act.step) < place(FINISHED)
        if not sent or (state in _FAILED and self._reached(act, "acquittee")):
            raise BadRequest(f"« {reference} » n'est pas à transmettre (étape : {act.step}).", 409)
        if state == "versee" and act.data["circuit"] != PES and not tdt.get("id_acte"):
            # Nothing would be published, nor its ARActe filed. No final refusal: it is said again, in order.
            raise BadRequest(f"« {reference} » : l'accusé de réception vient avant le versement.", 425)
        tdt["etat"] = state
        if state == "acquittee":
            if act.data["circuit"] == PES:
                tdt["id_acte"] = _id_flow(act, said)
            else:
                tdt |= {"id_acte": _id_acte(act, commune, said, ar_acte), "date_reception": _day(said)}
            if ar_acte:
                tdt["ar_acte"] = self._files.keep_bytes(ar_acte)
            self._step("aracte: gardé")
        if state == "versee" and said.get("archive"):
            tdt["archive"] = str(said["archive"])[:100]
        reason = str(said.get("motif") or "sans explication")[:_REASON_MAX]
        with self._store.transaction() as connection:
            now = self._store.lock(connection, reference)
            track = now.track | {"tdt": tdt}
            if state in _FAILED:
                refused = "La DGFiP refuse le flux" if act.data["circuit"] == PES else "La préfecture refuse l'acte"
                who = refused if state == "refusee" else "Le connecteur ne peut pas transmettre"
                track["echec"] = {"etat": state, "motif": reason}
                self._store.change(connection, reference, blocked=f"{who} : {reason}")
            elif now.track.get("echec"):  # a person had it transmitted all the same
                track["echec"] = None
                self._store.change(connection, reference, blocked="")
            self._store.change(connection, reference, track=track)
            self._store.note(connection, reference, f"connecteur: {state}", reason if state in _FAILED else "")
            self._defer(connection, reference)
        self._step("suivi: noté")

    # -- failures ------------------------------------------------------------------------------------------

    def delay(self, reference: str, reason: str, failed: bool = False) -> int:
        """Note why an act is late; gives how many times this hand-over failed, a server that is away aside."""
        with self._store.transaction() as connection:
            now = self._store.lock(connection, reference)
            tries = int(now.track.get("essais", 0)) + failed
            self._store.change(connection, reference, late=reason, track=now.track | {"essais": tries})
        return tries

    def block(self, reference: str, reason: str) -> None:
        """Put an act among the dead letters."""
        with self._store.transaction() as connection:
            self._store.change(connection, reference, blocked=reason, late="")
            self._store.note(connection, reference, "blocage", reason)

    def retry(self, reference: str) -> Act:
        """Take an act up again, as a person asks. Raises BadRequest."""
        with self._store.transaction() as connection:
            try:
                now = self._store.lock(connection, reference)
            except KeyError:
                raise BadRequest(f"Aucun acte n'a la référence « {reference} ».", 404) from None
            if now.step == FINISHED:
                raise BadRequest(f"« {reference} » est au bout de la chaîne : il n'y a rien à relancer.", 409)
            if now.step == "reception" and "document" not in now.data:
                raise BadRequest(f"« {reference} » a été mal annoncé : corrigez-le au serveur des délibérations.", 409)
            track = dict(now.track)
            if track.get("echec"):
                if track["echec"]["etat"] == "refusee":
                    text = "a été refusé pour de bon : il faut un nouvel acte, sous un autre numéro, ou un autre flux."
                    raise BadRequest(f"« {reference} » {text}", 409)
                track |= {"echec": None, "tdt": None}
            self._store.change(connection, reference, track=track | {"essais": 0}, blocked="", late="")
            self._store.note(connection, reference, "relance")
            self._defer(connection, reference)
        return now


def _file(item: dict[str, Any], name: str) -> dict[str, str]:
    return {"url": item["url"], "sha256": item["sha256"], "nom": Path(str(item.get("nom") or name)).name or name}


def _id_acte(act: Act, commune: Commune, said: dict[str, Any], ar_acte: bytes | None) -> str:
    """The act's identifier at the préfecture, once it is sure that the ARActe is of this act. Raises BadRequest."""
    number = str(said.get("id_acte") or "")
    wanted = f"-{commune.siren}-{act.data['date'].replace('-', '')}-{act.data['numero']}-"
    if wanted not in number:
        raise BadRequest(f"Champ « id_acte » : « {number[:60]} » est celui d'un autre acte.", 409)
    if not ar_acte or number.encode() not in ar_acte:
        raise BadRequest("Champ « ar_acte » : l'ARActe de cet acte est attendu (base64).")
    return number


def _id_flow(act: Act, said: dict[str, Any]) -> str:
    """What the connector calls a flow that Helios acknowledged: its transaction and its name. Raises BadRequest."""
    number = str(said.get("id_acte") or "")
    if hashlib.sha256(act.reference.encode()).hexdigest()[:12] not in number:
        raise BadRequest(f"Champ « id_acte » : « {number[:60]} » est celui d'un autre flux.", 409)
    return number[:100]


def _day(said: dict[str, Any]) -> str:
    text = str(said.get("date_reception") or "")[:10]
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise BadRequest(f"Champ « date_reception » : « {text} » n'est pas une date (AAAA-MM-JJ).") from None
