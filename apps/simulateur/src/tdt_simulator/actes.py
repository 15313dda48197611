"""The ACTES module of S²LOW (/modules/actes/)."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import quote

from flask import Blueprint, Response, abort, request

from . import classification, clock, messages, pdf, workflow
from .config import Authority
from .store import Attachment, DuplicateError, Transaction
from .uploads import Form, Upload, read_form
from .wire import (
    ACTES_INDEX,
    METHODS,
    as_json,
    attachment,
    authenticated,
    config,
    done,
    integer,
    me,
    moved,
    refused,
    refused_plainly,
    store,
    text,
)
from .workflow import LETTERS, Kind

NUMBER = re.compile(r"([A-Z0-9][A-Z0-9_]{0,13})?[A-Z0-9]")
_DOCUMENT_TYPE = re.compile(r"[A-Z0-9_]{5}")
_SUBJECT_LENGTH = 499
_EXTENSIONS = {"application/pdf": "pdf", "text/xml": "xml", "image/jpeg": "jpg", "image/png": "png"}
_RGS = "La télétransmission nécessite un certificat RGS"
_UNKNOWN = "Numéro de transaction invalide."
_DENIED = "Accès refusé"

blueprint = Blueprint("actes", __name__, url_prefix="/modules/actes")


class RefusedError(Exception):
    """What is wrong with a form, in the words of the platform."""


def _authority() -> Authority:
    return config().authorities[me().account.siren]


def mime_type(upload: Upload) -> str:
    """Guess the type of a file from its first bytes, as the platform does."""
    with upload.content.path.open("rb") as source:
        head = source.read(64)
    for magic, mimetype in (
        (b"%PDF-", "application/pdf"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\x89PNG\r\n", "image/png"),
        (b"<?xml", "text/xml"),
        (b"\xef\xbb\xbf<?xml", "text/xml"),
    ):
        if head.startswith(magic):
            return mimetype
    return "application/octet-stream" if head else "application/x-empty"


# Depositing an act


@dataclass(frozen=True)
class _Deposit:
    """A form that was found good, without its files."""

    number: str
    nature: int
    subject: str
    decision_date: date
    matter: str
    version: date


def _read_date(value: str) -> date:
    try:
        return datetime.strptime(value, "%Y-%m-%d").date()
    except ValueError:
        raise RefusedError(f"La date de décision « {value} » n'est pas une date (AAAA-MM-JJ)") from None


def _read_deposit(form: Form, siren: str) -> _Deposit:
    number = form.get("number")
    if not NUMBER.fullmatch(number):
        raise RefusedError("Le numéro n'est pas correct")
    decision_date = _read_date(form.get("decision_date"))
    if decision_date > clock.today():
        raise RefusedError("La date de décision est une date dans le futur")
    nature = integer(form.get("nature_code"))
    if nature not in classification.NATURES:
        raise RefusedError(f"La nature « {form.get('nature_code')} » est inconnue")
    subject = form.get("subject").strip()
    if not subject:
        raise RefusedError("L'objet de l'acte est obligatoire")
    if len(subject) > _SUBJECT_LENGTH:
        raise RefusedError(f"L'objet de l'acte dépasse {_SUBJECT_LENGTH} caractères")
    codes = [code for rank in range(1, 6) if (code := form.get(f"classif{rank}").strip()) not in ("", "0")]
    if len(codes) < 2:
        raise RefusedError("Les deux premiers niveaux de classification sont obligatoires.")
    matter, version = ".".join(codes), store().served_classification(siren)
    if matter not in classification.matters(version):
        raise RefusedError(f"La classification {matter} est inconnue")
    if store().has_number(siren, number):
        raise RefusedError(
            "Un acte portant le même numéro interne existe déjà dans la base de données.\n"
            "Il faut peut-être ajouter un suffixe au numéro."
        )
    return _Deposit(number, nature, subject, decision_date, matter, version)


def _check_type(upload: Upload, code: str, accepted: set[str], what: str) -> str:
    if not code:
        raise RefusedError(f"Erreur lors de la réception du fichier {upload.filename} : typologie absente")
    if not _DOCUMENT_TYPE.fullmatch(code):
        raise RefusedError(f"Le type « {code} » du fichier {upload.filename} doit faire 5 caractères")
    mimetype = mime_type(upload)
    if mimetype not in accepted:
        raise RefusedError(
            f"Erreur de validation {what} « {upload.filename} » : il est de type {mimetype},"
            f" attendu : {', '.join(sorted(_EXTENSIONS[kind].upper() for kind in accepted))}."
        )
    return mimetype


def _signature(form: Form, name: str, rank: int) -> str:
    uploads = form.uploads.get(name, [])
    if rank >= len(uploads):
        return ""
    return uploads[rank].content.path.read_bytes().decode("latin-1").rstrip()


def _documents(form: Form, base: str, act_types: set[str], kind: str) -> list[Attachment]:
    """Return the act (or the answer) and its annexes, named as the protocol wants."""
    act = form.upload("acte_pdf_file")
    if act is None:
        raise RefusedError("Aucun fichier acte n'a été posté")
    wanted = [(act, form.get("type_acte"), act_types, kind, "acte_pdf_file_sign", 0)]
    types = form.values.get("type_pj", [])
    for rank, upload in enumerate(form.uploads.get("acte_attachments", [])):
        code = types[rank] if rank < len(types) else ""
        wanted.append((upload, code, set(_EXTENSIONS), "de la pièce jointe", "acte_attachments_sign", rank))
    found = []
    for serial, (upload, code, accepted, what, sign_field, rank) in enumerate(wanted, 1):
        mimetype = _check_type(upload, code, accepted, what)
        found.append(
            Attachment(
                name=f"{code}-{base}_{serial}.{_EXTENSIONS[mimetype]}",
                posted_filename=upload.filename,
                mimetype=mimetype,
                content=upload.content,
                code_pj=code,
                sign=_signature(form, sign_field, rank),
            )
        )
    total = sum(document.content.size for document in found)
    if total > config().max_archive_bytes:
        raise RefusedError(
            f"La taille d'archive générée n'est pas conforme : {total} octets, {config().max_archive_bytes} au plus"
        )
    return found


def _message(name: str, content: bytes) -> Attachment:
    return Attachment(f"{name}_0.xml", "", "text/xml", store().receive_bytes(content))


def _deposit(form: Form) -> int:
    visitor, authority = me(), _authority()
    if not visitor.rgs:
        raise RefusedError(_RGS)
    deposit = _read_deposit(form, authority.siren)
    abbreviation = classification.ABBREVIATIONS[deposit.nature]
    identifier = messages.acte_id(authority, deposit.number, abbreviation, deposit.decision_date)
    base = f"{identifier}-1-1"
    budget = deposit.nature == 5 and deposit.matter.split(".")[:2] == ["7", "1"]
    accepted = {"application/pdf", "text/xml"} if budget else {"application/pdf"}
    documents = _documents(form, base, accepted, "du fichier de l'acte")
    paper = form.get("document_papier") not in ("", "0")
    acte = messages.Acte(
        number=deposit.number,
        nature=deposit.nature,
        abbreviation=abbreviation,
        subject=deposit.subject,
        decision_date=deposit.decision_date,
        classification=deposit.matter,
        classification_date=deposit.version,
        document_papier=paper,
        document=documents[0].name,
        annexes=[document.name for document in documents[1:]],
        signatures={document.name: document.sign for document in documents if document.sign},
    )
    try:
        return store().add(
            authority.siren,
            visitor.account.login,
            Kind.ACTE,
            [_message(base, messages.transmission(acte)), *documents],
            waiting=form.get("en_attente") not in ("", "0"),
            nature=deposit.nature,
            number=deposit.number,
            subject=deposit.subject,
            decision_date=deposit.decision_date.isoformat(),
            classification=deposit.matter,
            classification_date=deposit.version.isoformat(),
            document_papier=int(paper),
            unique_id=identifier,
            anomaly=_anomaly(deposit),
        )
    except DuplicateError as error:
        raise RefusedError(
            "Erreur lors de l'enregistrement de la transaction :\n"
            "Une transaction avec le même numéro existe déjà dans la base."
        ) from error


def _anomaly(deposit: _Deposit) -> str | None:
    """Return why the préfecture will refuse the act, if it will."""
    in_force = classification.in_force(clock.today())
    if deposit.version != in_force:
        return (
            f"Anomalie acte : la classification du {pdf.french_date(deposit.version)} n'est plus en vigueur,"
            f" la préfecture accepte celle du {pdf.french_date(in_force)}."
        )
    if store().strike("anomalie", request.path):
        return "Anomalie acte : l'acte n'a pas pu être exploité par la préfecture."
    return None


@blueprint.route("/actes_transac_create.php", methods=METHODS)
@authenticated
def create() -> Response:
    """Record an act."""
    form = read_form(request, store())
    if not form.values and not form.uploads:
        return refused("La taille totale des fichiers est trop importante, ou le formulaire est vide")
    try:
        return done(_deposit(form))
    except RefusedError as error:
        return refused(str(error))


# Following an act


def _requested(field: str = "transaction", name: str = "unique_id") -> Transaction:
    """The transaction that the request names, by its number or by its identifier; answers by itself without one."""
    siren, unique_id = me().account.siren, request.args.get(name, "")
    by_name = store().by_unique_id(unique_id, siren) if unique_id else None
    found = by_name if unique_id else store().transaction(integer(request.args.get(field)))
    if found is None:
        abort(refused_plainly(_UNKNOWN))
    if found.row["siren"] != siren:
        abort(refused_plainly(_DENIED))
    return found


def receipt(found: Transaction) -> bytes | None:
    """Return the préfecture's message that acknowledges a transaction, None before it is there."""
    step = found.reached(workflow.ACKNOWLEDGED)
    if step is None:
        return None
    row, received = found.row, clock.moment(step.at).date()
    in_force = classification.in_force(received)
    if found.kind == Kind.ACTE:
        return messages.receipt(store().acte(found), row["unique_id"], received, in_force)
    if found.kind == Kind.ANNULATION:
        return messages.cancellation_receipt(row["unique_id"], received)
    if found.kind == Kind.CLASSIFICATION:
        return classification.xml(in_force)
    return messages.response_receipt(found.kind, row["unique_id"], found.decision_date, received)


@blueprint.route("/actes_transac_get_status.php", methods=METHODS)
@authenticated
def get_status() -> Response:
    """Return the status of a transaction, then the receipt (4) or the error (-1)."""
    found = _requested()
    head = f"OK\n{found.status}\n"
    if found.status == workflow.ACKNOWLEDGED:
        return text(head + (receipt(found) or b"").decode("latin-1"))
    return text(head + (found.step.message if found.status == workflow.ERROR else ""))


@blueprint.route("/actes_transac_get_ARActe.php", methods=METHODS)
@authenticated
def get_receipt() -> Response:
    """Return the receipt of an act as an XML file."""
    found = store().transaction(integer(request.args.get("id")), me().account.siren)
    content = receipt(found) if found else None
    return moved(ACTES_INDEX) if content is None else Response(content, content_type="application/xml")


@blueprint.route("/actes_transac_get_files_list.php", methods=METHODS)
@authenticated
def get_files_list() -> Response:
    """Return the files of a transaction, once the préfecture has received it."""
    found = _requested(name="")
    on_the_way = {workflow.POSTED, workflow.PENDING, workflow.SENT}
    if all(step.status in on_the_way for step in found.steps if step.at <= found.step.at):
        return refused_plainly("Pas d'acquittement recu")
    return as_json(
        [
            {
                "id": file["id"],
                "name": file["name"],
                "posted_filename": file["posted_filename"],
                "mimetype": file["mimetype"],
                "size": file["size"],
                "sign": file["sign"],
                "code_pj": file["code_pj"],
            }
            for file in store().files(found.id)
        ]
    )


def _stamp_lines(found: Transaction, displayed: str) -> list[str]:
    row = found.row
    sent, received = found.reached(workflow.POSTED), found.reached(workflow.ACKNOWLEDGED)
    lines = [
        "Accusé de réception en préfecture" if received else "Transmis à la préfecture",
        row["unique_id"],
    ]
    for label, step in (("Date de télétransmission", sent), ("Date de réception préfecture", received)):
        if step is not None:
            lines.append(f"{label} : {pdf.french_date(clock.moment(step.at).date())}")
    if displayed:
        lines.append(f"Affiché le {displayed}")
    return lines


def _archive(found: Transaction) -> Response:
    files = store().files(found.id)
    incoming = found.kind in LETTERS and found.row["response"] is None
    build = messages.envelope_in if incoming else messages.envelope_out
    day = clock.moment(found.row["created"])
    name = f"EACT--{found.authority.siren}--{day:%Y%m%d}-{found.id}"
    members = [(f"{name}.xml", build(found.authority, files[0]["name"]))]
    members += [(file["name"], store().content(file["sha256"])) for file in files]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, content in members:
            info = tarfile.TarInfo(member)
            info.size, info.mtime = len(content), int(day.timestamp())
            archive.addfile(info, io.BytesIO(content))
    return attachment(buffer.getvalue(), f"TRI-{name}.tar.gz", "application/gzip")


@blueprint.route("/actes_download_file.php", methods=METHODS)
@authenticated
def download_file() -> Response:
    """Return a file (stamped if asked), or a whole envelope as .tar.gz."""
    siren = me().account.siren
    envelope = store().transaction(integer(request.args.get("env")), siren)
    if envelope is not None:
        return _archive(envelope)
    file = store().file(integer(request.args.get("file")))
    found = store().transaction(file["transaction_id"], siren) if file else None
    if file is None or found is None:
        return moved(ACTES_INDEX)
    name = file["posted_filename"] or file["name"]
    if request.args.get("tampon") and file["mimetype"] == "application/pdf":
        try:
            path = config().data_dir / "fichiers" / file["sha256"]
            content = pdf.stamp(path, _stamp_lines(found, request.args.get("date_affichage", "")))
        except pdf.UnreadablePdfError:
            return moved(ACTES_INDEX)
        return attachment(content, name, "application/pdf")
    return attachment(store().content(file["sha256"]), name, file["mimetype"])


@blueprint.route("/actes_create_pdf.php", methods=METHODS)
@authenticated
def bordereau() -> Response:
    """Return the bordereau d'acquittement."""
    found = store().transaction(integer(request.args.get("trans_id")), me().account.siren)
    if found is None or found.kind != Kind.ACTE:
        return moved(ACTES_INDEX)
    row = found.row
    received = found.reached(workflow.ACKNOWLEDGED)
    history = [
        (f"{clock.moment(step.at):%d/%m/%Y à %H:%M:%S}", _described(step))
        for step in found.steps
        if step.at <= found.step.at
    ]
    files = [(f"{file['name']}", f"{file['mimetype']}, {file['size']} octets") for file in store().files(found.id)]
    content = pdf.bordereau(
        f"{found.authority.nom} (SIREN {found.authority.siren})",
        [
            (
                "Acte",
                [
                    ("Numéro interne", row["number"]),
                    ("Objet", row["subject"]),
                    ("Date de la décision", pdf.french_date(found.decision_date)),
                    ("Nature", classification.NATURES[row["nature"]]),
                    ("Classification", row["classification"]),
                    ("Documents papier", "Oui" if row["document_papier"] else "Non"),
                    ("Identifiant unique", row["unique_id"] if received else "Non attribué"),
                ],
            ),
            ("Cycle de vie", history),
            ("Fichiers de l'enveloppe", files),
        ],
    )
    return attachment(content, "acquittement.pdf", "application/pdf")


def _described(step: workflow.Step) -> str:
    name = workflow.STATUS_NAMES.get(step.status, str(step.status))
    return f"{name} : {step.message}" if step.message and step.message != name else name


# Acting on an act


@blueprint.route("/actes_transac_cancel.php", methods=METHODS)
@authenticated
def cancel() -> Response:
    """Cancel an act: with the préfecture when it has it, on the platform alone when it still waits.

    S²LOW itself refuses to cancel what waits; here it is the end of the connector's proof in production.
    """
    form = read_form(request, store())
    found = store().transaction(integer(form.get("id")), me().account.siren)
    if found is None:
        return refused("Erreur d'initialisation de la transaction.")
    if found.kind != Kind.ACTE:
        return refused("Ce type de transaction ne peut pas être annulé.")
    if found.status == workflow.WAITING:
        store().force(found.id, workflow.CANCELLED, "Annulé avant envoi")
        return done(found.id)
    pending = store().transactions("related_id = ? AND kind = ?", found.id, int(Kind.ANNULATION))
    if any(0 < other.status < workflow.ACKNOWLEDGED for other in pending):
        return refused("Une demande d'annulation est déjà en cours pour cette transaction.")
    if found.status != workflow.ACKNOWLEDGED:
        return refused("Impossible d'annuler une transaction qui n'est pas en état « Acquittement reçu ».")
    identifier = found.row["unique_id"]
    message = _message(f"{identifier}-6-1", messages.cancellation(identifier))
    return done(
        store().add(
            found.authority.siren,
            me().account.login,
            Kind.ANNULATION,
            [message],
            related_id=found.id,
            number=found.row["number"],
            unique_id=identifier,
        )
    )


def _confirm(identifiers: list[str]) -> str | None:
    """Post waiting transactions; return what is wrong."""
    if not me().rgs:
        return _RGS
    if not identifiers:
        return "Pas d'identifiant de transaction spécifié"
    problem = None
    for identifier in identifiers:
        found = store().transaction(integer(identifier), me().account.siren)
        if found is None:
            problem = "Erreur d'initialisation de la transaction."
        elif found.status != workflow.WAITING:
            problem = "La transaction n'est pas dans le statut « En attente d'être posté »"
        else:
            store().post(found.id)
    return problem


@blueprint.route("/actes_transac_post_confirm_api.php", methods=METHODS)
@blueprint.route("/actes_transac_post_confirm_api_multi.php", methods=METHODS)
@authenticated
def post_confirm() -> Response:
    """Post what waits, then send the agent back to the software that asked."""
    problem = _confirm(request.args.getlist("id") + request.args.getlist("id[]"))
    back = request.args.get("url_return", "")
    if not back.startswith(("https://", "http://")):
        return moved(ACTES_INDEX)
    back = back.replace("%%ERROR%%", "1" if problem else "0")
    return moved(back.replace("%%MESSAGE%%", quote(problem or "", safe="")))


# Nomenclature


@blueprint.route("/actes_classification_fetch.php", methods=METHODS)
@authenticated
def classification_fetch() -> Response:
    """Return the nomenclature that the platform holds for the authority."""
    content = classification.xml(store().served_classification(me().account.siren))
    answer = attachment(content + b"\r\n", "classification.xml", "text/xml")
    answer.content_type = "text/xml;charset=iso-8859-1"
    return answer


@blueprint.route("/actes_classification_request.php", methods=METHODS)
@authenticated
def classification_request() -> Response:
    """Ask the préfecture for its nomenclature."""
    authority = _authority()
    known = store().served_classification(authority.siren)
    name = f"{authority.departement}-{authority.siren}----7-1"
    message = _message(name, messages.classification_request(known))
    identifier = store().add(authority.siren, me().account.login, Kind.CLASSIFICATION, [message])
    return done(identifier)


# The préfecture's letters


@blueprint.route("/api/list_document_prefecture.php", methods=METHODS)
@authenticated
def list_letters() -> Response:
    """Return the letters that the authority has not read."""
    condition = "siren = ? AND kind IN (2, 3, 4, 5) AND response IS NULL AND read = 0"
    letters = reversed(store().transactions(condition, me().account.siren))
    return as_json(
        [
            {
                "id": letter.id,
                "type": str(int(letter.kind)),
                "related_transaction_id": letter.row["related_id"],
                "number": letter.row["number"],
                "unique_id": letter.row["unique_id"],
                "last_status_id": letter.status,
            }
            for letter in letters
        ]
    )


@blueprint.route("/api/document_prefecture_mark_as_read.php", methods=METHODS)
@authenticated
def mark_as_read() -> Response:
    """Note that a letter was read."""
    store().mark_read(integer(request.args.get("transaction_id")), me().account.siren)
    return as_json({"result": "ok"})


@blueprint.route("/actes_transac_get_document.php", methods=METHODS)
@authenticated
def get_document() -> Response:
    """Return a line « type-status-id » for each letter about an act; send to the archive of a letter."""
    found = _requested("id")
    if found.kind != Kind.ACTE:
        return moved(f"/modules/actes/actes_download_file.php?env={found.id}")
    lines = []
    for letter in reversed(store().transactions("related_id = ? AND kind != 6", found.id)):
        answers = store().transactions("related_id = ?", letter.id)
        shown = answers[-1] if answers else letter
        lines.append(f"{int(letter.kind)}-{shown.status}-{shown.id}\n")
    return text("".join(lines))


def _answer_letter(form: Form) -> int:
    siren = me().account.siren
    letter = store().transaction(integer(form.get("id")), siren)
    if letter is None or letter.kind not in LETTERS or letter.row["response"] is not None:
        raise RefusedError("Erreur d'initialisation de la transaction.")
    if letter.kind == Kind.DEFERE:
        raise RefusedError("Mauvais type de transaction.")
    answer = integer(form.get("type_envoie"))
    if letter.kind != Kind.COURRIER_SIMPLE and answer not in (messages.REFUSAL, messages.CONSENT):
        raise RefusedError("Vous devez choisir un type de réponse")
    kind, identifier = letter.kind, letter.row["unique_id"]
    act = store().transaction(letter.row["related_id"], siren)
    number = 2 if kind == Kind.COURRIER_SIMPLE else answer
    base = f"{identifier}-{int(kind)}-{number}"
    documents = _documents(form, base, set(_EXTENSIONS), "du fichier de réponse")
    names = [document.name for document in documents]
    day = letter.decision_date
    message = _message(base, messages.response(kind, answer, identifier, day, names))
    return store().add(
        siren,
        me().account.login,
        kind,
        [message, *documents],
        related_id=letter.id,
        number=letter.row["number"],
        subject=act.row["subject"] if act else "",
        decision_date=day.isoformat(),
        unique_id=identifier,
        response=number,
    )


@blueprint.route("/actes_transac_reponse_create.php", methods=METHODS)
@authenticated
def create_response() -> Response:
    """Record the commune's answer to a letter."""
    form = read_form(request, store())
    by_address = bool(request.args.get("api"))
    try:
        identifier = _answer_letter(form)
    except RefusedError as error:
        return text(f"KO : {error}") if by_address else refused(str(error))
    return text(f"OK : id généré : {identifier}\n") if by_address else done(identifier)


# Lists


@blueprint.route("/api/list_actes.php", methods=METHODS)
@authenticated
def list_actes() -> Response:
    """Return the authority's transactions of one status, newest first: how a lost answer is found again."""
    status = _signed_integer(request.args.get("status_id"))
    offset = integer(request.args.get("offset"))
    limit = integer(request.args.get("limit")) if "limit" in request.args else 100
    first, last = request.args.get("min_date", ""), request.args.get("max_date", "9999")
    found = [
        transaction
        for transaction in store().transactions("siren = ?", me().account.siren)
        if transaction.status == status and first <= clock.moment(transaction.step.at).isoformat(" ", "seconds") <= last
    ]
    listed = [
        {
            "id": transaction.id,
            "subject": transaction.row["subject"],
            "number": transaction.row["number"],
            "date": transaction.row["decision_date"] or None,
            "nature_descr": classification.NATURES.get(transaction.row["nature"]),
            "classification": transaction.row["classification"],
            "type": str(int(transaction.kind)),
        }
        for transaction in found[offset : offset + limit]
    ]
    return as_json(_page(status) | {"offset": offset, "limit": limit, "transactions": listed})


def _signed_integer(value: str | None) -> int:
    return -integer(value[1:]) if value and value.startswith("-") else integer(value)


def _page(status: int) -> dict[str, object]:
    return {"status_id": status, "authority_id": int(me().account.siren)}


@blueprint.route("/api/number_actes.php", methods=METHODS)
@authenticated
def number_actes() -> Response:
    """Return how many transactions have a status."""
    status = _signed_integer(request.args.get("status_id"))
    mine = store().transactions("siren = ?", me().account.siren)
    return as_json(_page(status) | {"nb_transactions": sum(found.status == status for found in mine)})


@blueprint.route("/api/actes_status.php", methods=METHODS)
@authenticated
def actes_status() -> Response:
    """Return the statuses and their names."""
    return as_json({str(status): name for status, name in workflow.STATUS_NAMES.items()})
