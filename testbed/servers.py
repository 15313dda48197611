"""The servers that the passerelle calls, over TLS: they enforce the contract, and count what they were made to do."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flask import Flask, Response, abort, jsonify, request
from tdt_simulator.testing import tls_server, wait_refused
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler

PASSWORD = "mot-de-passe-d-essai"
Answer = Response | tuple[Response, int]


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing."""

    def make_environ(self) -> dict[str, Any]:
        """As nginx does: the certificate that was verified, and nobody else's."""
        environ = super().make_environ()
        environ.pop("HTTP_X_SSL_CLIENT_CERT", None)
        shown = self.connection.getpeercert(binary_form=True) if isinstance(self.connection, ssl.SSLSocket) else None
        if shown:
            environ["HTTP_X_SSL_CLIENT_CERT"] = ssl.DER_cert_to_PEM_cert(shown).replace("\n", "%0A").replace("+", "%2B")
        return environ


class TlsServer:
    """An application over TLS, that can go away and come back at the same address."""

    def __init__(self, app: Any, folder: Path, clients: Path | None = None) -> None:
        self._app, self._port = app, 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "fullchain.pem", folder / "key.pem")
        if clients:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients)
        self._server: BaseWSGIServer | None = None
        self.start()

    def start(self) -> None:
        """Answer."""
        self._server = tls_server("127.0.0.1", self._port, self._app, _Quiet, self._context)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            wait_refused(self._port)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._port}"


class _Service:
    """What the servers share: an account, a count of calls, and failures on demand."""

    def __init__(self) -> None:
        self.app = Flask(type(self).__name__)
        self.calls: Counter[str] = Counter()
        self.failure: Callable[[], Answer | None] | None = None
        self.lock = threading.RLock()
        self.app.before_request(self._first)

    def _first(self) -> Answer | None:
        failed = self.failure() if self.failure else None
        if failed:
            return failed
        if request.path == "/api/v4/auth/token/obtain/":
            if request.get_json() != {"username": "passerelle", "password": PASSWORD}:
                return jsonify({"non_field_errors": ["Impossible de se connecter."]}), 400
            return jsonify({"token": "jeton"})
        return None

    @staticmethod
    def _token() -> None:
        if request.headers.get("Authorization") != "Token jeton":
            abort(401)


def error(status: int, text: str) -> Answer:
    """An answer that refuses."""
    return jsonify({"message": text}), status


class FakeParapheur(_Service):
    """Circuits, as the contract says."""

    ORDER = ("a_viser", "a_signer", "a_teletransmettre", "teletransmis", "acquitte")
    MOST = 1000  # in an answer

    def __init__(self) -> None:
        super().__init__()
        self.dossiers: dict[int, dict[str, Any]] = {}
        self.communes = {"gondecourt", "la-madeleine", "loos"}
        base = "/api/v4/creatic/dossiers/"
        self.app.add_url_rule(base, "list", self._list, methods=["GET"])
        self.app.add_url_rule(base, "deposit", self._deposit, methods=["POST"])
        self.app.add_url_rule(f"{base}<int:number>/fichier/", "file", self._file, methods=["GET"])
        self.app.add_url_rule(f"{base}<int:number>/pieces/", "pieces", self._pieces, methods=["GET"])
        self.app.add_url_rule(f"{base}<int:number>/pieces/<int:piece>/", "piece", self._piece, methods=["GET"])
        self.app.add_url_rule(f"{base}<int:number>/etat/", "state", self._state, methods=["POST"])
        self.app.add_url_rule(f"{base}<int:number>/historique/", "history", self._history, methods=["GET"])
        self.app.add_url_rule("/api/v4/creatic/eliminations/", "eliminate", self._eliminate, methods=["POST"])

    def _pieces(self, number: int) -> Answer:
        self._token()
        listed = [
            {"id": rank, "nom": name, "sha256": hashlib.sha256(content).hexdigest(), "transmis": name.endswith(".pdf")}
            for rank, (name, content) in enumerate(self.dossiers[number].get("pieces", {}).items())
        ]
        return jsonify({"results": listed})

    def _piece(self, number: int, piece: int) -> Answer:
        self._token()
        return Response(list(self.dossiers[number]["pieces"].values())[piece], mimetype="application/pdf")

    def _history(self, number: int) -> Answer:
        self._token()
        done = {"quand": "2026-11-21T10:00:00+01:00", "qui": "Camille Delattre", "quoi": "Viser"}
        return jsonify({"reference": self.dossiers[number]["reference"], "historique": [done]})

    def _eliminate(self) -> Answer:
        """As creatic_accounts.elimination does."""
        self._token()
        asked = request.get_json()
        keys = ("reference", "commune")
        found = [one["id"] for one in self.dossiers.values() if all(one[key] == asked[key] for key in keys)]
        for number in [] if asked.get("essai") else found:
            del self.dossiers[number]
        return jsonify({"nombre": len(found)})

    def _deposit(self) -> Answer:
        self._token()
        fields, content = request.form, request.files["fichier"].read()
        if fields["commune"] not in self.communes:
            return error(400, f"La commune « {fields['commune']} » est inconnue.")
        if fields["circuit"] not in ("deliberation", "arrete", "pes", "marche") or len(fields["date"]) != 10:
            return error(400, "Circuit ou date inconnus.")
        if not content.startswith(b"%PDF-"):
            return error(400, "Le fichier n'est pas un PDF.")
        digest = hashlib.sha256(content).hexdigest()
        with self.lock:
            for number, one in self.dossiers.items():
                if one["reference"] == fields["reference"]:
                    if one["recu"] != digest:
                        return error(409, "Cette référence est déjà celle d'un autre fichier.")
                    return jsonify({"id": number, "etat": one["etat"]})
            number = max(self.dossiers, default=0) + 1
            self.dossiers[number] = {
                "id": number, "reference": fields["reference"], "commune": fields["commune"], "recu": digest,
                "circuit": fields["circuit"], "objet": fields["objet"], "numero": fields["numero"],
                "date": fields["date"], "matiere": "", "nature": "", "transmission": "",
                "etat": "a_viser", "fichier": content, "motif": "", "par": "",
                "dit": [], "annexes": [(one.filename, one.read()) for one in request.files.getlist("annexe")],
            }  # fmt: skip # a table
        return jsonify({"id": number, "etat": "a_viser"}), 201

    def _list(self) -> Answer:
        self._token()
        shown = ("id", "reference", "commune", "circuit", "objet", "numero", "date", "matiere", "etat", "motif", "par",
                 "nature", "transmission")  # fmt: skip # a list of words
        found = []
        asked = dict(request.args)
        after = int(asked.pop("apres", -1))
        for one in self.dossiers.values():
            if one["id"] > after and all(one[key] == value for key, value in asked.items()):
                sealed = hashlib.sha256(one["fichier"]).hexdigest()
                digests = {"sha256": sealed, "sha256_origine": one["recu"]}
                more = {"depuis": "2026-11-26T10:00:00", "complet": one.get("complet", True)}
                found.append({key: one[key] for key in shown} | digests | more)
        return jsonify({"results": found[: self.MOST], "suite": len(found) > self.MOST})

    def _file(self, number: int) -> Answer:
        self._token()
        return Response(self.dossiers[number]["fichier"], mimetype="application/pdf")

    def _state(self, number: int) -> Answer:
        self._token()
        one, wanted = self.dossiers[number], request.get_json()["etat"]
        with self.lock:
            if wanted == one["etat"]:
                return jsonify({"etat": wanted})
            place = self.ORDER.index(one["etat"]) if one["etat"] in self.ORDER else 2
            closed = (one["etat"], wanted) == ("a_teletransmettre", "clos")
            allowed = (
                closed or wanted == "en_erreur" or (wanted in self.ORDER[3:] and self.ORDER.index(wanted) == place + 1)
            )
            if not allowed:
                return error(409, f"De « {one['etat']} », on ne va pas à « {wanted} ».")
            one["etat"] = wanted
            one["dit"].append(wanted)
        return jsonify({"etat": wanted})

    # what people do

    def bring(self, reference: str, content: bytes, **fields: str) -> None:
        """A rédacteur's own deposit; an arrêté is one to transmit, unless it is said otherwise."""
        said = {"nature": "2", "transmission": "oui"} if fields["circuit"] == "arrete" else {}
        number = max(self.dossiers, default=0) + 1
        self.dossiers[number] = {
            "id": number, "reference": reference, "commune": "gondecourt", "recu": hashlib.sha256(content).hexdigest(),
            "etat": "a_viser", "fichier": content, "motif": "", "par": "", "dit": [],
            **({"nature": "", "transmission": ""} | said | fields),
        }  # fmt: skip # a table

    def sign(self, reference: str = "") -> None:
        """Sign and seal what waits; a public contract without a matter ends there."""
        for one in self.dossiers.values():
            if one["etat"] == "a_viser" and reference in ("", one["reference"]):
                one["fichier"] += b"<!-- signature -->\n" if one["circuit"] == "pes" else b"% signature\n"
                kept_here = one["circuit"] == "marche" and not one["matiere"]
                one["etat"] = "clos" if kept_here else "a_teletransmettre"

    def complete(self, reference: str, pieces: dict[str, bytes] | None) -> None:
        """What is joined to a signed contract; None when nobody said yet that it is all."""
        one = next(one for one in self.dossiers.values() if one["reference"] == reference)
        one.update(complet=pieces is not None, pieces=pieces or {})

    def refuse(self, reference: str, reason: str) -> None:
        """Refuse at the visa."""
        one = next(one for one in self.dossiers.values() if one["reference"] == reference)
        one.update(etat="refuse", motif=reason, par="Camille Delattre")

    def take_up(self, reference: str) -> None:
        """Its author puts it in the circuit again."""
        one = next(one for one in self.dossiers.values() if one["reference"] == reference)
        one.update(etat="a_viser", motif="", par="")


class FakeDeliberations(_Service):
    """Adopted acts, as the contract says."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, dict[str, Any]] = {}
        self.documents: dict[str, bytes] = {}
        self.published: dict[str, dict[str, Any]] = {}
        self.told: dict[str, list[dict[str, Any]]] = {}
        self.url = ""
        self.convocations: list[dict[str, Any]] = []
        self.receipts: dict[tuple[str, int, str, int], dict[str, Any]] = {}
        self.late: dict[str, Any] = {}
        self.app.add_url_rule("/@convocations", "convocations", self._convocations, methods=["GET", "POST"])
        self.app.add_url_rule("/@conseil", "council", self._council, methods=["POST"])
        self.app.add_url_rule("/@adoptees", "adopted", self._adopted, methods=["GET"])
        self.app.add_url_rule("/@suivi", "follow", self._follow, methods=["POST"])
        self.app.add_url_rule("/@publications", "publications", self._publications, methods=["POST"])
        self.meetings: dict[str, dict[str, Any]] = {}
        self.app.add_url_rule("/@seances", "meetings", self._meetings, methods=["POST"])
        self.app.add_url_rule("/documents/<name>", "document", self._document, methods=["GET"])

    @staticmethod
    def _account() -> None:
        given = request.authorization
        if given is None or (given.username, given.password) != ("passerelle", PASSWORD):
            abort(401)

    def adopt(self, uid: str, commune: str = "gondecourt", annexes: int = 0, **changes: Any) -> str:
        """A séance adopts an act; gives its reference."""

        def document(name: str) -> dict[str, str]:
            content = f"%PDF-1.4\n% {uid} {name}\n%%EOF\n".encode()
            self.documents[f"{uid}-{name}"] = content
            url = f"{self.url}/documents/{uid}-{name}"
            return {"url": url, "sha256": hashlib.sha256(content).hexdigest(), "nom": name}

        item = {
            "uid": uid, "reference": f"deliberations:{uid}", "commune": commune, "siren": "215902669",
            "numero": f"2026_{uid.upper()}", "date": "2026-11-20", "objet": f"Délibération {uid}", "matiere": "5.2",
            "document": document("deliberation.pdf"),
            "annexes": [document(f"annexe-{rank}.pdf") for rank in range(1, annexes + 1)],
        }  # fmt: skip # a table
        self.items[uid] = item | changes
        return f"deliberations:{uid}"

    def _adopted(self) -> Answer:
        self._account()
        self.calls["adoptees"] += 1
        return jsonify({"results": [one for uid, one in self.items.items() if uid not in self.told]})

    def publish(self, annexes: int | None = None) -> None:
        """Somebody of the commune chooses what is published of what may be: with so many annexes, with all of them."""
        for uid, told in self.told.items():
            if told[-1]["etat"] in ("acquittee", "a_publier"):
                on_line = len(self.items[uid]["annexes"]) if annexes is None else annexes
                self.published[uid] = {"le": "2026-11-22", "mode": "electronique", "en_ligne": True, "annexes": on_line}

    def convene(self, uid: str, people: dict[str, str], **changes: Any) -> dict[str, Any]:
        """A meeting is convened by mail."""
        self.documents[f"{uid}-convocation.pdf"] = content = f"%PDF-1.4\n% {uid}\n%%EOF\n".encode()
        piece = {"url": f"{self.url}/documents/{uid}-convocation.pdf", "nom": "convocation.pdf",
                 "sha256": hashlib.sha256(content).hexdigest(), "octets": len(content)}  # fmt: skip # a table
        one = {
            "uid": uid, "version": 1, "commune": "gondecourt", "objet": "Convocation : conseil", "pieces": [piece],
            "texte": "Madame, Monsieur,\n.\nVous êtes convoqué.\n", "limite": "2999-01-01T18:30:00+01:00",
            "destinataires": [{"elu": name, "adresse": to, "essai": 1} for name, to in people.items()],
        } | changes  # fmt: skip # a table
        self.convocations.append(one)
        return one

    def _convocations(self) -> Answer:
        self._account()
        if request.method == "GET":
            found = []
            for one in self.convocations:
                left = [
                    to
                    for to in one["destinataires"]
                    if (one["uid"], one["version"], to["elu"], to["essai"]) not in self.receipts
                ]
                found += [one | {"destinataires": left}] if left else []
            return jsonify({"results": found})
        said = request.get_json()
        for one in said["recus"]:
            self.receipts.setdefault((said["uid"], said["version"], one["elu"], one["essai"]), one)
        return jsonify({"nouveaux": len(said["recus"])})

    def _council(self) -> Answer:
        self._account()
        return jsonify(self.late)

    def _publications(self) -> Answer:
        self._account()
        found = [{"uid": uid} | self.published[uid] for uid in request.get_json()["uids"] if uid in self.published]
        return jsonify({"results": found})

    def settle(self, uid: str) -> None:
        """The council settles the procès-verbal of the meeting that adopted an act."""
        pieces = []
        for name, what in (("convocation-1", "Convocation"), ("liste", "Liste"), ("proces-verbal", "Procès-verbal")):
            self.documents[f"seance-{name}.pdf"] = content = f"%PDF-1.4\n% seance {name}\n%%EOF\n".encode()
            url = f"{self.url}/documents/seance-{name}.pdf"
            digest = hashlib.sha256(content).hexdigest()
            pieces.append({"nom": f"{name}.pdf", "quoi": what, "le": "2026-12-18", "sha256": digest, "url": url})
        self.meetings[uid] = {
            "uid": uid, "date": "2026-11-20", "assemblee": "Conseil municipal du 20 novembre 2026", "pieces": pieces,
            "convocation_approuvee": {"par": "claire.dubois", "le": "2026-11-14T08:00:00+00:00"},
            "arrete": {"le": "2026-12-18", "president": "Claire Dubois", "secretaire": "Amina Benali"},
        }  # fmt: skip # a table

    def _meetings(self) -> Answer:
        self._account()
        found = [self.meetings[uid] for uid in request.get_json()["uids"] if uid in self.meetings]
        return jsonify({"results": found})

    def _document(self, name: str) -> Answer:
        self._account()
        return Response(self.documents[name], mimetype="application/pdf")

    def _follow(self) -> Answer:
        self._account()
        said = request.get_json()
        if said["uid"] not in self.items:
            return error(404, "Délibération inconnue.")
        states = ("au_parapheur", "signee", "a_publier", "transmise", "acquittee", "refusee", "en_erreur")
        if said["etat"] not in states:
            return error(400, "État inconnu.")
        if said["etat"] == "acquittee":
            if not (said.get("date_reception") and said.get("id_acte")):
                return error(400, "date_reception et id_acte : obligatoires avec l'état acquittee.")
            content = base64.b64decode(said["document"])
            if hashlib.sha256(content).hexdigest() != said["sha256"]:
                return error(400, "L'empreinte n'est pas celle du document.")
        with self.lock:
            past = self.told.setdefault(said["uid"], [])
            if not past or past[-1] != said:
                past.append(said)
        return jsonify({})

    def states(self, uid: str) -> list[str]:
        """What was said of an act, in order, without repetition."""
        return [one["etat"] for one in self.told.get(uid, [])]


class FakeGed(_Service):
    """The part of Mayan's API that filing needs; a file that is sent is there a moment later."""

    def __init__(self) -> None:
        super().__init__()
        self.delay = 0.05
        self.documents: dict[int, dict[str, Any]] = {}
        self.types: list[str] = []
        self.cabinets: dict[str, set[int]] = {}
        self.serve({"Gondecourt": "215902669", "La Madeleine": "215903683", "Loos": "215903600"})
        rules: list[tuple[str, Callable[..., Answer], str]] = [
            ("search/advanced/documents.documentsearchresult/", self._search, "GET"),
            ("document_types/", self._types, "GET"),
            ("documents/", self._create, "POST"),
            ("documents/<int:number>/files/", self._files, "GET"),
            ("documents/<int:number>/files/", self._upload, "POST"),
            ("documents/<int:number>/metadata/", self._metadata, "GET"),
            ("documents/<int:number>/metadata/", self._describe, "POST"),
            ("metadata_types/", self._metadata_types, "GET"),
            ("cabinets/", self._cabinets, "GET"),
            ("cabinets/<int:number>/documents/add/", self._file, "POST"),
            ("creatic/eliminations/", self._eliminate, "POST"),
        ]
        for path, view, method in rules:
            self.app.add_url_rule(f"/api/v4/{path}", f"{method} {path}", view, methods=[method])

    def serve(self, communes: Mapping[str, str]) -> None:
        """Have types and folders for communes, whose SIREN is told by name."""
        for name, siren in communes.items():
            self.types += [f"{name} - {kind} [{siren}]" for kind in ("Délibération", "Arrêté", "Marché public")]
            self.cabinets[f"{name} [{siren}] / Assemblées / Délibérations"] = set()
            self.cabinets[f"{name} [{siren}] / Actes réglementaires / Arrêtés du maire"] = set()
            self.cabinets[f"{name} [{siren}] / Finances / Marchés publics"] = set()

    def _eliminate(self) -> Answer:
        """As creatic_accounts.elimination does."""
        self._token()
        asked = request.get_json()
        assert all(one.startswith(f"{asked['reference']} ") for one in asked["marques"])
        gone = []
        for number, one in self.documents.items():
            own = one["kind"].endswith(f" [{asked['siren']}]")
            digests = {digest for _at, digest in one["files"]}
            same = bool(digests) and digests <= set(asked["sha256"]) and not one["description"]
            if own and (one["description"] in asked["marques"] or same):
                gone.append(number)
        for number in [] if asked.get("essai") else gone:
            del self.documents[number]
        return jsonify({"nombre": len(gone)})

    def _results(self, found: list[dict[str, Any]]) -> Answer:
        self._token()
        return jsonify({"results": found, "next": None})

    def _search(self) -> Answer:
        word = unquote(request.args["description"])
        shown = [{"id": number, "description": one["description"]} for number, one in self.documents.items()]
        return self._results([one for one in shown if word in one["description"]])

    def _types(self) -> Answer:
        return self._results([{"id": rank, "label": label} for rank, label in enumerate(self.types, start=1)])

    def _create(self) -> Answer:
        self._token()
        body = request.get_json()
        with self.lock:
            number = max(self.documents, default=0) + 1
            self.documents[number] = {
                "kind": self.types[body["document_type_id"] - 1],
                "label": body["label"],
                "files": [],
                "metadata": {},
                "description": body["description"],
            }
        return jsonify({"id": number}), 201

    def _files(self, number: int) -> Answer:
        now = time.monotonic()
        return self._results([{"checksum": digest} for at, digest in self.documents[number]["files"] if at <= now])

    def _upload(self, number: int) -> Answer:
        self._token()
        assert request.form["action_name"] == "replace"
        digest = hashlib.sha256(request.files["file_new"].read()).hexdigest()
        self.documents[number]["files"].append((time.monotonic() + self.delay, digest))
        return jsonify({}), 202

    def _metadata(self, number: int) -> Answer:
        held = self.documents[number]["metadata"]
        return self._results([{"id": name, "metadata_type": {"name": name}, "value": held[name]} for name in held])

    def _metadata_types(self) -> Answer:
        return self._results([{"id": name, "name": name} for name in ("numero", "date_acte", "objet")])

    def _describe(self, number: int) -> Answer:
        self._token()
        body = request.get_json()
        held = self.documents[number]["metadata"]
        if body["metadata_type_id"] in held:
            return jsonify({"detail": "déjà là"}), 400
        held[body["metadata_type_id"]] = body["value"]
        return jsonify({"id": body["metadata_type_id"]}), 201

    def _cabinets(self) -> Answer:
        return self._results([{"id": rank, "full_path": path} for rank, path in enumerate(self.cabinets)])

    def _file(self, number: int) -> Answer:
        self._token()
        list(self.cabinets.values())[number].add(int(request.get_json()["document"]))
        return jsonify({})
