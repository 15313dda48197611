"""REST services: what the passerelle asks and tells, and the configuration that the playbook applies."""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import logging
from typing import Any

from creatic.deliberations import (
    aftermath,
    configuration,
    convening,
    digests,
    frozen,
    lifecycle,
    papers,
    publishing,
    rules,
    watch,
)
from creatic.deliberations.places import commune_of, meeting_of
from plone import api
from plone.protect.interfaces import IDisableCSRFProtection
from plone.restapi.deserializer import json_body
from plone.restapi.services import Service
from transaction.interfaces import TransientError
from zope.interface import alsoProvides

REFERENCE = "deliberations:"
_ADOPTED = ("adopte", "publie")
log = logging.getLogger("creatic.deliberations")


class _RequestRefusedError(Exception):
    """The request is refused: HTTP status and French message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _describe_file(projet: Any, field: str) -> dict[str, str]:
    value = getattr(projet, field)
    return {
        "url": f"{projet.absolute_url()}/@@download/{field}/{value.filename}",
        "sha256": digests.of(value),
        "nom": value.filename,
    }


def adopted(projet: Any) -> dict[str, Any]:
    """An adopted délibération, as the passerelle takes it."""
    commune, meeting = commune_of(projet), meeting_of(projet)
    return {
        "uid": projet.UID(),
        "reference": f"{REFERENCE}{projet.UID()}",
        "commune": commune.getId(),
        "siren": getattr(commune, "creatic_siren", ""),
        "numero": projet.numero,
        "date": meeting.date.isoformat(),
        "objet": projet.title,
        "matiere": projet.matiere,
        "transmission": "non" if projet.non_transmis else "oui",
        "vote": projet.vote().sentence(),
        "quorum": projet.quorum(),
        "document": _describe_file(projet, "document"),
        "annexes": [_describe_file(annex, "file") for annex in projet.annexes()],
        **({"budget": _describe_file(projet, frozen.BUDGET)} if projet.budget_xml else {}),
    }


class Adoptees(Service):
    """GET /@adoptees: adopted and not yet handed on, oldest first; none of a meeting that goes on, whose votes may be
    taken again; none whose budget is not the sealed XML that the préfecture takes."""

    def reply(self) -> dict[str, Any]:
        found = [brain.getObject() for brain in api.content.find(portal_type="projet", review_state="adopte")]
        waiting = sorted(
            (one for one in found if not one.suivi and api.content.get_state(meeting_of(one)) != "ouverte"),
            key=lambda one: (rules.rank_of(one.numero), one.UID()),
        )
        return {"results": [told for told in map(self._describe_projet, waiting) if told]}

    @staticmethod
    def _describe_projet(projet: Any) -> dict[str, Any] | None:
        """One of them; none when it cannot be told, which never keeps the others."""
        try:
            return None if projet.budget_problems(voted=True) else adopted(projet)
        except TransientError:
            raise
        except Exception:  # a file that is lost, too
            log.exception("Délibération adoptée laissée : %s", projet.absolute_url())
            return None


class Suivi(Service):
    """POST /@suivi: where a délibération stands; told again, it changes nothing."""

    def reply(self) -> dict[str, Any]:
        alsoProvides(self.request, IDisableCSRFProtection)
        try:
            return self._apply_follow_up(json_body(self.request))
        except _RequestRefusedError as refused:
            self.request.response.setStatus(refused.status)
            return {"message": str(refused)}

    def _apply_follow_up(self, told: dict[str, Any]) -> dict[str, Any]:
        state = told.get("etat")
        if state not in rules.STEP_LABELS:
            known = ", ".join(rules.STEP_LABELS)
            raise _RequestRefusedError(400, f"etat : « {state} » est inconnu. À faire : l'un de {known}.")
        uid = str(told.get("uid") or "").removeprefix(REFERENCE)
        projet = api.content.get(UID=uid) if uid else None
        if projet is None or projet.portal_type != "projet" or api.content.get_state(projet) not in _ADOPTED:
            raise _RequestRefusedError(404, "uid : aucune délibération adoptée n'a cet identifiant.")
        given = _checked_document(told)
        if projet.suivi == "acquittee":
            self._check_same(projet, told, given)
        if not rules.moves(projet.suivi, state):
            return self._reply_state(projet, changed=False)
        received = _parse_date(told.get("date_reception"))
        if state == "acquittee" and not (received and told.get("id_acte")):
            raise _RequestRefusedError(400, "date_reception et id_acte : obligatoires avec l'état acquittee.")
        if state == "acquittee" and not (given or projet.document_signe):
            raise _RequestRefusedError(
                400, "document : la délibération signée n'a pas encore été reçue. À faire : joignez-la."
            )
        projet.suivi = state
        projet.suivi_motif = str(told.get("motif") or "")[:500]
        if given:
            projet.document_signe = lifecycle.stored(given, f"{projet.numero}.pdf")
        if told.get("id_acte"):
            projet.id_acte = str(told["id_acte"])[:100]
        if received:
            projet.date_reception = received
        if rules.is_executory(state, projet.non_transmis):
            publishing.publish(projet)
        watch.keep(projet)
        projet.reindexObject()
        return self._reply_state(projet, changed=True)

    @staticmethod
    def _check_same(projet: Any, told: dict[str, Any], given: bytes | None) -> None:
        other = told.get("id_acte") and told["id_acte"] != projet.id_acte
        if other or (given and given != projet.document_signe.data):
            raise _RequestRefusedError(
                409, f"la délibération {projet.numero} est déjà reçue avec un autre acte ou un autre PDF."
            )

    @staticmethod
    def _reply_state(projet: Any, changed: bool) -> dict[str, Any]:
        state = api.content.get_state(projet)
        return {"uid": projet.UID(), "etat": projet.suivi, "revue": state, "change": changed}


class Publications(Service):
    """POST /@publications: which of these acts were published, when, and taken off."""

    def reply(self) -> dict[str, Any]:
        alsoProvides(self.request, IDisableCSRFProtection)
        asked = json_body(self.request).get("uids")
        return {"results": publishing.report([str(one).removeprefix(REFERENCE) for one in asked or []])}


class Meetings(Service):
    """POST /@seances: papers of the meetings of these acts, once their procès-verbal is settled."""

    def reply(self) -> dict[str, Any]:
        alsoProvides(self.request, IDisableCSRFProtection)
        asked = [str(one).removeprefix(REFERENCE) for one in json_body(self.request).get("uids") or []]
        with api.env.adopt_roles(["Manager"]):
            return {"results": papers.told(asked, api.portal.get().absolute_url())}


class Convocations(Service):
    """GET /@convocations: what is to leave by mail."""

    def reply(self) -> dict[str, Any]:
        with api.env.adopt_roles(["Manager"]):  # the passerelle sees no meeting: only what leaves
            return {"results": convening.to_send(api.portal.get().absolute_url())}


class Receipts(Service):
    """POST /@convocations: what the relay said of each; told again, it changes nothing."""

    def reply(self) -> dict[str, Any]:
        alsoProvides(self.request, IDisableCSRFProtection)
        told = json_body(self.request)
        try:
            with api.env.adopt_roles(["Manager"]):
                meeting = api.content.get(UID=str(told.get("uid") or "-"))
                if meeting is None or meeting.portal_type != "seance":
                    self.request.response.setStatus(404)
                    return {"message": "uid : aucune séance n'a cet identifiant."}
                return {"nouveaux": convening.hear_receipts(meeting, int(told["version"]), told["recus"])}
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            self.request.response.setStatus(400)
            return {"message": f"version, recus : ce qui est dit d'une convocation ne se lit pas ({error!r})."}


class Council(Service):
    """POST /@conseil: puts on line the lists whose day has come; gives what is late in the communes' councils."""

    def reply(self) -> dict[str, Any]:
        alsoProvides(self.request, IDisableCSRFProtection)
        now = datetime.datetime.now(datetime.UTC)
        with api.env.adopt_roles(["Manager"]):
            return aftermath.turn(datetime.date.today()) | {"convocations": convening.figures(now)}


def _checked_document(told: dict[str, Any]) -> bytes | None:
    """The PDF that is told, checked against its digest."""
    if not told.get("document"):
        return None
    try:
        data = base64.b64decode(told["document"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise _RequestRefusedError(400, "document : ce n'est pas du base64.") from None
    if not data.startswith(b"%PDF-"):
        raise _RequestRefusedError(400, "document : ce n'est pas un PDF.")
    if told.get("sha256") != hashlib.sha256(data).hexdigest():
        raise _RequestRefusedError(400, "sha256 : absent, ou ce n'est pas celui du document.")
    return data


def _parse_date(value: Any) -> datetime.date | None:
    if not value:
        return None
    try:
        return datetime.datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise _RequestRefusedError(400, f"date_reception : « {value} » n'est pas une date ISO.") from None


class Configuration(Service):
    """POST /@configuration: compare with the communes' files and apply, or only say what would change."""

    def reply(self) -> dict[str, Any]:
        import transaction

        alsoProvides(self.request, IDisableCSRFProtection)
        told = json_body(self.request)
        result = configuration.apply(api.portal.get(), told["configuration"], told.get("mots_de_passe", {}))
        if told.get("verification") or result["sans_mot_de_passe"]:
            transaction.doom()
        # The portal's own handlers lead a browser to a new institution.
        self.request.response.setStatus(200)
        self.request.response.headers.pop("location", None)
        return result


class Agent(Service):
    """GET /@agent?identifiant=: an account, and what is left in its person's hands."""

    def reply(self) -> dict[str, Any]:
        return configuration.account(api.portal.get(), str(self.request.form.get("identifiant") or ""))
