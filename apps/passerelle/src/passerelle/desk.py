"""The préfecture's letters over HTTP: what the connector brings and asks, what the commune's people see and do.

A page that changes something is asked with a certificate that the browser shows by itself: a form of another site could
send it too. So a gesture is taken from this site's own pages alone (Sec-Fetch-Site, W3C Fetch Metadata).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any, BinaryIO, cast

from flask import Response, jsonify, redirect, render_template, request, send_file

from creatic_agent.identity import Denied

from . import filing
from .acts import BadRequest
from .config import Commune, Config
from .identity import Visitor
from .letters import ANSWERS, FAILED, KINDS, PARIS, SENT, Letter, Letters
from .room import LARGEST

_ANSWER_MAX = LARGEST + 1_000_000  # bytes of a form
_HEADS = {b"%PDF-": "application/pdf"}  # what a browser shows by itself; the rest is kept as a file


def json_object() -> dict[str, Any]:
    """What a request tells, which is an object. Raises BadRequest."""
    told = request.get_json(silent=True)
    if not isinstance(told, dict):
        raise BadRequest("Un objet JSON est attendu.")
    return told


class Desk:
    """Views. `visitor` gives who asks, from the certificate and from nothing else."""

    def __init__(self, config: Config, letters: Letters, visitor: Callable[[], Visitor]) -> None:
        self._config, self._letters, self._visitor = config, letters, visitor

    def rules(self) -> Iterator[tuple[str, str, Callable[..., Any]]]:
        """Method, address and view of each."""
        yield "GET", "/connecteur/lettres", self.letters_decided
        yield "POST", "/connecteur/lettres", self.announce_letter
        yield "PUT", "/connecteur/lettres/<int:tdt>/<int:rank>", self.give_letter
        yield "GET", "/connecteur/lettres/<int:tdt>/reponse/<sha256>", self.answer_to_send
        yield "POST", "/connecteur/lettres/suivi", self.follow_letter
        yield "GET", "/lettres/<int:number>", self.letter
        yield "GET", "/lettres/<int:number>/<any(recu,reponse):kind>/<int:rank>", self.letter_file
        yield "POST", "/lettres/<int:number>", self.decide

    # -- the connector -------------------------------------------------------------------------------------

    def _connector(self) -> Commune:
        return self._visitor().served()

    def letters_decided(self) -> Response:
        """What persons decided of the letters, and which of them are here."""
        commune = self._connector()
        return jsonify({"results": self._letters.decided(commune), "connus": self._letters.whole(commune)})

    def announce_letter(self) -> Response:
        """Take a letter in, and say which of its files are expected."""
        return jsonify({"attendus": self._letters.announce(self._connector(), json_object())})

    def give_letter(self, tdt: int, rank: int) -> Response:
        """Keep a file of a letter."""
        commune = self._connector()
        request.max_content_length = LARGEST
        self._letters.give(commune, tdt, rank, cast(BinaryIO, request.stream))
        return jsonify({"lettre": tdt, "rang": rank})

    def answer_to_send(self, tdt: int, sha256: str) -> Response:
        """A document of an answer."""
        path = self._letters.answer_document(self._connector(), tdt, sha256)
        if path is None:
            raise BadRequest("Ce fichier n'est pas d'une réponse à ce courrier.", 404)
        return send_file(path, mimetype="application/octet-stream", as_attachment=True)

    def follow_letter(self) -> Response:
        """Hear the connector."""
        self._letters.hear(self._connector(), json_object())
        return jsonify({})

    # -- the commune's people ------------------------------------------------------------------------------

    def _agent(self) -> tuple[Commune, str]:
        who = self._visitor()
        if who.commune is None or not who.agent:
            raise Denied("Les courriers de la préfecture sont lus par les seuls agents de leur commune.")
        return who.commune, who.name

    def letter(self, number: int) -> str:
        """A letter."""
        commune, _name = self._agent()
        return self._page(commune, number)

    def _page(self, commune: Commune, number: int, fault: str = "") -> str:
        one = self._letters.get(commune, number)
        past = self._letters.history(number)
        return render_template(
            "lettre.html.j2",
            commune=commune.name,
            erreur=fault,
            lettre=line(one, self._config),
            courrier=one,
            repete=self._letters.repeated(one),
            choix=ANSWERS.get(one.kind, {}) if not one.foreign else {},
            peut_repondre=not one.answer or one.answer["etat"] in FAILED,
            ici=one.track.get("ici", []),
            pieces=one.kind == "pieces",
            passages=[one | {"le": when(one["le"])} for one in past],
            sans_adresse=not commune.mails,
        )

    def letter_file(self, number: int, kind: str, rank: int) -> Response:
        """A file of a letter, or of its answer."""
        commune, _name = self._agent()
        found = self._letters.document(self._letters.get(commune, number), kind, rank)
        if found is None:
            raise BadRequest("Ce fichier n'est pas, ou pas encore, ici.", 404)
        path, name = found
        with path.open("rb") as stream:
            shown = _HEADS.get(stream.read(5), "")
        given = shown or "application/octet-stream"
        return send_file(path, mimetype=given, as_attachment=not shown, download_name=name)

    def decide(self, number: int) -> Response:
        """Take a letter, answer it, or say that no answer leaves from here."""
        commune, name = self._agent()
        if request.headers.get("Sec-Fetch-Site") != "same-origin":
            raise Denied("Ce geste se fait depuis la page du courrier, dans un navigateur à jour.")
        request.max_content_length = _ANSWER_MAX
        try:
            gesture = request.form.get("geste", "")
            if gesture == "prendre":
                self._letters.take(commune, number, name)
            elif gesture == "classer":
                self._letters.close(commune, number, name, request.form.get("motif", ""))
            elif gesture == "repondre":
                given = [*request.files.getlist("document")[:1], *request.files.getlist("pieces")]
                documents = [(one.filename or "", cast(BinaryIO, one.stream)) for one in given if one.filename]
                self._letters.reply(commune, number, name, request.form.get("sens", ""), documents)
            else:
                raise BadRequest("Ce geste est inconnu.")
        except BadRequest as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise
            return Response(self._page(commune, number, str(error)), error.status)
        answer = redirect(f"/lettres/{number}", HTTPStatus.SEE_OTHER)
        return cast(Response, answer)

    def shown(self, commune: Commune | None) -> list[dict[str, Any]]:
        """The letters of a commune, or of all, as lines of the page."""
        return [line(one, self._config) for one in self._letters.shown(commune.slug if commune else None)]


def when(moment: datetime) -> str:
    """A moment as people read it."""
    return moment.astimezone(PARIS).strftime("%d/%m/%Y à %H:%M")


def line(one: Letter, config: Config) -> dict[str, Any]:
    """What a line of the page says of a letter; nothing of its content."""
    known = config.communes.get(one.commune)
    today = datetime.now(PARIS).date()
    state, text = _state(one)
    return {
        "no": one.number,
        "genre": KINDS[one.kind],
        "numero": one.act.get("numero") or one.data["numero"],
        "id_acte": one.data["id_acte"],
        "connu": bool(one.act),
        "commune": known.name if known else one.commune,
        "le": f"{one.dated:%d/%m/%Y}" if one.dated else "",
        "recu": f"{one.day:%d/%m/%Y}",
        "etat": state,
        "texte": text,
        "echeance": f"{one.clocks.due:%d/%m/%Y}" if one.clocks.due else "",
        "attendue": bool(one.clocks.due and one.open),
        "retard": one.late(today),
        "jours": (one.clocks.due - today).days if one.clocks.due else None,
        "defere": f"{one.clocks.court:%d/%m/%Y}" if one.clocks.court else "",
        "defere_pourquoi": one.clocks.why,
        "classement": filing.told(one, config),
    }


def _state(one: Letter) -> tuple[str, str]:
    """Word for the page's colours, and what it says."""
    answer, closed = one.answer, one.track.get("sans_suite")
    if answer.get("etat") in FAILED and not closed:
        word = "à vérifier" if answer["etat"] == "a_rapprocher" else "refusée"
        return "echec", f"réponse {word} : {answer.get('motif') or 'sans explication'}"
    if answer and answer["etat"] in SENT:
        day = datetime.strptime(answer["date_reception"], "%Y-%m-%d")
        got = "reçue par la préfecture" if answer["etat"] == "acquittee" else "transmise à la préfecture"
        return "ok", f"réponse {got} le {day:%d/%m/%Y}"
    if closed:
        return "partiel", f"classé sans réponse d'ici par {closed['par']}"
    if answer:
        return "partiel", "réponse en cours d'envoi par le connecteur"
    if not one.track.get("prise"):
        return "echec", "à prendre en charge"
    by = f"pris en charge par {one.track['prise']['par']}"
    return ("attention", f"{by}, à répondre") if one.open else ("partiel", by)
