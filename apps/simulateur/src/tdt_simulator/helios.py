"""The Helios module of S²LOW (/modules/helios/): PES to the Trésor, its receipts, its PES Retour."""

from __future__ import annotations

from flask import Blueprint, Response, request
from lxml import etree

from . import clock, pes, workflow
from .store import DuplicateError
from .uploads import Upload, read_form
from .wire import (
    HELIOS_INDEX,
    METHODS,
    as_json,
    as_xml,
    attachment,
    authenticated,
    integer,
    me,
    moved,
    store,
)

blueprint = Blueprint("helios", __name__, url_prefix="/modules/helios")


def _document(tag: str, **children: object) -> etree._Element:
    root = etree.Element(tag)
    for name, value in children.items():
        etree.SubElement(root, name).text = str(value)
    return root


def _record(upload: Upload) -> int:
    """Record a PES with what will become of it, which its content and the faults say.

    Raises:
        DuplicateError: it was sent before.
    """
    flow, anomaly = pes.fault(upload.content.path)
    if anomaly is None and store().strike("anomalie", request.path):
        anomaly = "Le PES a été rejeté par le Trésor"
    refused = anomaly is None and store().strike("rejet", request.path)
    alone = anomaly is None and store().strike("statut4", request.path)
    return store().add_helios(
        me().account.siren,
        upload.filename,
        upload.content,
        anomaly,
        name=flow.headers.get("NomFic", ""),
        cod_col=flow.headers.get("CodCol", ""),
        answer=workflow.ACKNOWLEDGED if alone else workflow.INFORMATION,
        refusal="1971 - Compte fonction présent à tort" if refused else None,
    )


@blueprint.route("/api/helios_importer_fichier.php", methods=METHODS)
@authenticated
def import_file() -> Response:
    """Record a PES."""
    form = read_form(request, store())
    upload = form.upload("enveloppe")
    if not me().rgs:
        problem = "Votre certificat n'est pas RGS et ne vous permet donc pas de télétransmettre"
    elif upload is None:
        problem = "Aucune enveloppe trouvée"
    elif upload.content.size == 0:
        problem = "Le fichier présenté est vide (0 octet)"
    else:
        try:
            identifier = _record(upload)
        except DuplicateError:
            problem = "doublon détecté. Ce fichier a déjà été posté."
        else:
            return as_xml(
                _document("import", id=identifier, resultat="OK", message="Téléchargement du fichier réussi.")
            )
    return as_xml(_document("import", id="", resultat="KO", message=problem))


@blueprint.route("/api/helios_transac_get_status.php", methods=METHODS)
@authenticated
def get_status() -> Response:
    """Return the status of a PES."""
    identifier = integer(request.args.get("transaction"))
    found = store().helios(identifier=identifier) if identifier else []
    result, message, status = "KO", "", ""
    if not identifier:
        message = "Pas de numéro de transaction."
    elif not found:
        message = "Numéro de transaction invalide"
    elif found[0][0]["siren"] != me().account.siren:
        message = "Accès refusé"
    else:
        step = found[0][1]
        result, message, status = "OK", step.message, str(step.status)
    document = _document("transaction", id=identifier, resultat=result, message=message, status=status)
    return as_xml(document, "ISO-8859-1")


@blueprint.route("/helios_download_acquit.php", methods=METHODS)
@authenticated
def download_acquit() -> Response:
    """Return the receipt of a PES."""
    found = store().helios(me().account.siren, integer(request.args.get("id")))
    if not found or found[0][1].status not in (workflow.ACKNOWLEDGED, workflow.INFORMATION):
        return moved(HELIOS_INDEX)
    row, step = found[0]
    flow = pes.read(store().path(row["sha256"]))
    content = pes.acquit(flow, clock.moment(step.at), row["refusal"])
    return attachment(content, f"ACK_{row['filename']}", "text/xml")


@blueprint.route("/helios_download_file.php", methods=METHODS)
@authenticated
def download_file() -> Response:
    """Return a PES as it was received."""
    found = store().helios(me().account.siren, integer(request.args.get("id")))
    if not found:
        return moved(HELIOS_INDEX)
    row = found[0][0]
    return attachment(store().content(row["sha256"]), row["filename"], "text/xml")


@blueprint.route("/api/list_pes_aller.php", methods=METHODS)
@authenticated
def list_pes() -> Response:
    """Return the authority's PES of one status, newest first."""
    status, offset = integer(request.args.get("status_id")), integer(request.args.get("offset"))
    limit = integer(request.args.get("limit")) if "limit" in request.args else 100
    found = [row["id"] for row, step in store().helios(me().account.siren) if step.status == status]
    return as_json(
        {
            "status_id": status,
            "authority_id": int(me().account.siren),
            "offset": offset,
            "limit": limit,
            "transactions": [{"id": identifier} for identifier in found[offset : offset + limit]],
        }
    )


@blueprint.route("/api/helios_get_list.php", methods=METHODS)
@authenticated
def list_retours() -> Response:
    """Return the PES Retour which were not read."""
    now = clock.now().isoformat(" ", "seconds")
    siren = me().account.siren
    root = _document("liste", idColl=siren, resultat="OK", message="liste réussie", dateDemande=now)
    for row in store().pes_retours(siren):
        if not row["read"]:
            node = etree.SubElement(root, "pes_retour")
            etree.SubElement(node, "id").text = str(row["id"])
            etree.SubElement(node, "nom").text = row["filename"]
            received = clock.moment(row["created"])
            etree.SubElement(node, "date").text = received.isoformat(" ", "seconds")
    return as_xml(root)


@blueprint.route("/api/helios_get_retour.php", methods=METHODS)
@authenticated
def get_retour() -> Response:
    """Return a PES Retour."""
    identifier = integer(request.args.get("id"))
    for row in store().pes_retours(me().account.siren):
        if row["id"] == identifier:
            return attachment(store().content(row["sha256"]), row["filename"], "text/xml")
    return as_xml(_document("get_retour", id=identifier, resultat="KO", message="identifiant inconnu"))


@blueprint.route("/api/helios_change_status.php", methods=METHODS)
@authenticated
def change_status() -> Response:
    """Note that a PES Retour was read."""
    identifier = integer(request.args.get("id"))
    if store().read_pes_retour(identifier, me().account.siren):
        result, message = "OK", "changement de statut réussi"
    else:
        result, message = "KO", "changement de statut impossible"
    return as_xml(_document("transaction", idRetour=identifier, resultat=result, message=message))
