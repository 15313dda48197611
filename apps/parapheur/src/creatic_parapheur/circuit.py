"""All that moves a dossier. Who acts has the row of the dossier for themselves: the second of two is told.

Mayan's own pages and API are kept from moving a dossier past these rules (`guard`), an administrator's too.
Who somebody is, is told by the rollout's list of accounts (creatic_accounts) and by the commune's file: what an account
says of itself, its name or its login, is shown nowhere here and gives nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import functools
import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import IO, Any

from creatic_accounts.elimination import Asked
from creatic_accounts.guard import ChangeDeniedError
from creatic_accounts.models import login_of
from django.contrib.auth import get_user_model
from django.core.files import File
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from mayan.apps.document_states.models import Workflow
from mayan.apps.documents.models import Document, DocumentFile, DocumentType

from . import seal, signatory, transmission
from .configuration import PASSED_BY_PEOPLE, Circuit, Commune, Step, current
from .models import CONTRACT, TO_COMPLETE, Absence, Acte, Delegation, Dossier, Geste, Piece
from .refusal import RefusedError

MAX_PARALLEL_ACTS = 2  # acts of one person, in a process
MAX_BYTES = 150_000_000  # what a TdT takes (S²LOW)
OWN = "parapheur:"  # beginning of the references of what is born here
TO_SEND = ("deliberation", "arrete")  # circuits of acts that the préfecture knows by number and matter
ANNEX = "Annexe"  # what a document that the gateway brings comes with
BROUGHT = "Document tel qu'il a été déposé"  # beside the circuit's document, which the door wrote again
_CIRCUIT_MATTER_PATTERN = re.compile(r"[1-9](\.[1-9][0-9]?){0,4}")
_HEADER_BYTES = 1024
_TIMES, _PAUSE_S = 4, 0.3  # what is taken back, while another process notes it
_SIGN = "signer ce dossier"
_PASS = {"a_controler": "Contrôler", "a_viser": "Viser", "a_signer": "Signer"}
# What the gateway tells, and the way there: from a state, the transitions to make.
_GATEWAY_TRANSITIONS = {
    "teletransmis": {"a_teletransmettre": ["Télétransmettre"], "en_erreur": ["Télétransmettre"]},
    "acquitte": {
        "a_teletransmettre": ["Télétransmettre", "Acquitter"],
        "teletransmis": ["Acquitter"],
        "en_erreur": ["Télétransmettre", "Acquitter"],
    },
    "en_erreur": {"a_teletransmettre": ["Mettre en erreur"], "teletransmis": ["Mettre en erreur"]},
    "clos": {"a_teletransmettre": ["Clore"]},  # a commune that transmits nothing by this way
}
_busy: Counter[int] = Counter()
_counting = threading.Lock()
_ours = contextvars.ContextVar("ours", default=False)
_eliminating = contextvars.ContextVar("eliminating", default=False)


def guard(sender: Any, instance: Any, **_options: Any) -> None:
    """Refuse what moves a dossier, or changes what was noted of it, by another way than this module (signal pre_save of
    Mayan's log entries)."""
    if _ours.get() or not Dossier.objects.filter(instance=instance.workflow_instance_id).exists():
        return
    if not instance._state.adding:
        raise ChangeDeniedError(Geste.KEPT)
    if instance.transition is not None:
        raise ChangeDeniedError("Un dossier du parapheur avance par la page « À traiter » seulement")


def keep(sender: Any, instance: Any, **_options: Any) -> None:
    """Refuse what erases the history of a dossier, or absences: a document, a step, or an account that goes takes them
    along in Mayan (signal pre_delete)."""
    if sender in (Geste, Piece) and _eliminating.get():
        return
    if (
        sender in (Geste, Absence, Acte, Delegation, Piece)
        or Dossier.objects.filter(instance=instance.workflow_instance_id).exists()
    ):
        raise ChangeDeniedError(
            f"{Geste.KEPT}. À faire : pour fermer un compte, rendez-le inactif (Système, Utilisateurs)"
        )


# What the archive eliminated


def to_eliminate(asked: Asked) -> list[Document]:
    """The document of an act's dossier (creatic_accounts.elimination.FINDERS), and no other commune's.

    Raises ValueError: somebody has still to control, approve or sign it, so that it cannot have been archived.
    """
    found = list(Dossier.objects.filter(reference=asked.reference, commune=asked.commune).select_related("document"))
    if any(one.etat in PASSED_BY_PEOPLE for one in found):
        raise ValueError("ce dossier n'est pas encore signé, il n'a pas pu être versé aux archives")
    return [one.document for one in found]


def let_go(document: Document) -> None:
    """Take a dossier away with its history, before its document goes: it is part of what the visa was given for, and
    bears names and reasons of refusal. Nothing else does (creatic_accounts.elimination.BEFORE)."""
    token = _eliminating.set(True)
    try:
        for dossier in Dossier.objects.select_for_update(of=("self",)).filter(document=document):
            Acte.objects.filter(dossier=dossier).update(objet="", valeurs={})  # its number stays in its register
            dossier.delete()
    finally:
        _eliminating.reset(token)


# Who


def visible(user: Any) -> QuerySet[Dossier]:
    """Dossiers that somebody may see: their commune's; all, for the gateway and the administrator."""
    dossiers = Dossier.objects.filter(document__in_trash=False)
    login = login_of(user)
    if user.is_superuser or login == current().service:
        return dossiers
    return dossiers.filter(commune__in=[one.slug for one in current().communes_of(login)])


def find(user: Any, number: int) -> Dossier:
    """A dossier, for somebody.

    Raises:
        Refused: there is none for them.
    """
    found = visible(user).filter(pk=number).first()
    if found is None:
        raise RefusedError("ce dossier n'existe pas, ou n'est pas de votre commune", 404)
    return found


def _circuit_of(dossier: Dossier) -> tuple[Commune, Circuit]:
    commune = current().communes.get(dossier.commune)
    if commune is None:
        raise RefusedError("la commune de ce dossier n'a plus de parapheur. À faire : prévenez le groupement", 409)
    return commune, commune.circuits[dossier.circuit]


def deputies(commune: Commune, step: Step) -> list[Absence]:
    """Absences of who passes a step of an institution, today, with their deputies."""
    return list(
        Absence.objects.active()
        .of(commune)
        .filter(personne__known__login=step.titulaire, suppleant__known__login__in=step.suppleants)
        .select_related("personne__known", "suppleant__known")
    )


def awaited(dossier: Dossier) -> list[str]:
    """Logins of who may pass the present step: the holder of the part first, then active deputies."""
    commune, circuit = _circuit_of(dossier)
    step = circuit.step(dossier.etat)
    if step is None:
        return []
    if dossier.etat == "a_signer" and dossier.signataire:
        # Their name stands on the document: nobody else signs it (signatory.py).
        return [dossier.signataire] if accounts([dossier.signataire]).exists() else []
    holder = [step.titulaire] if accounts([step.titulaire]).exists() else []
    return [*holder, *(one.suppleant.known.login for one in deputies(commune, step) if one.suppleant.is_active)]


def accounts(logins: Iterable[str]) -> QuerySet[Any]:
    """Accounts that are open, of people of the communes' files."""
    return get_user_model().objects.filter(known__login__in=logins, is_active=True).select_related("known")


def name_of(user: Any) -> str:
    """Name of somebody, as the commune's file has it."""
    login = login_of(user)
    return current().name(login) if current().commune_of(login) else user.get_full_name() or user.get_username()


def to_do(user: Any) -> QuerySet[Dossier]:
    """What awaits somebody, late first: steps to pass, refused dossiers to take up, contracts to complete."""
    wanted = Q(pk__in=[])
    for commune in current().communes_of(login_of(user)):
        wanted |= Q(_to_do_in(commune, login_of(user)), commune=commune.slug)
    return Dossier.objects.filter(wanted, document__in_trash=False).order_by("echeance", "depuis")


def _to_do_in(commune: Commune, login: str) -> Q:
    """What awaits somebody, of one commune's dossiers."""
    wanted = Q(pk__in=[])
    if login in commune.redacteurs:  # contracts whose file nobody said to be complete too (contracts.py)
        wanted = Q(etat="refuse") | Q(TO_COMPLETE)
    wanted |= Q(etat="a_signer", signataire=login)
    for circuit, state, step in commune.steps_of(login):
        if login == step.titulaire or any(one.suppleant.known.login == login for one in deputies(commune, step)):
            mine = Q(circuit=circuit, etat=state)
            if state == "a_signer":  # not what another was chosen to sign
                mine &= Q(signataire__in=["", step.titulaire])
            wanted |= mine
    # Steps that a circuit no longer has fall to who signs: `Circuit.step`.
    return wanted


def held(user: Any) -> list[str]:
    """What is left in the hands of somebody who goes, in French: what awaits them, and who counts on them.

    Nothing, once their commune's file gives them no part: steps are then those of who is named instead.
    """
    if current().commune_of(login_of(user)) is None:
        return []
    told = []
    for dossier in to_do(user):
        others = [current().name(login) for login in awaited(dossier) if login != login_of(user)]
        deadline = f", échéance le {dossier.echeance:%d/%m/%Y}" if dossier.echeance else ""
        too = f", de même que {', '.join(others)}" if others else ""
        number = f"{dossier.numero} " if dossier.numero else ""
        told.append(f"dossier « {number}{dossier.objet} » ({dossier.etat_nom}{deadline}) : il l'attend{too}")
    coming = Absence.objects.filter(au__gte=timezone.localdate(), annulee=False)
    for one in coming.filter(personne=user).select_related("suppleant__known"):
        told.append(f"son absence du {one.du:%d/%m/%Y} au {one.au:%d/%m/%Y}, où {one.suppleant_nom} le remplace")
    for one in coming.filter(suppleant=user).select_related("personne__known"):
        told.append(
            f"il remplace {one.personne_nom} du {one.du:%d/%m/%Y} au {one.au:%d/%m/%Y}, qui devra nommer quelqu'un "
            "d'autre (« Mes absences »)"
        )
    for given in Delegation.objects.active().filter(personne=user):
        told.append(f"sa délégation (arrêté {given.arrete}) court encore : retirez-la (« Délégations »)")
    return told


def _stands_in_for(dossier: Dossier, user: Any) -> str:
    """What the history says when a deputy acts."""
    commune, circuit = _circuit_of(dossier)
    step = circuit.step(dossier.etat)
    if dossier.etat == "a_signer" and dossier.signataire == login_of(user):
        return f"Signataire : {dossier.signataire_nom}"
    if step is None or step.titulaire == login_of(user):
        return ""
    absence = next(one for one in deputies(commune, step) if one.suppleant_id == user.pk)
    noted = f", notée par {absence.saisie_par}" if absence.saisie_par else ""
    return f"Pour {current().name(step.titulaire)}, absence du {absence.du:%d/%m/%Y} au {absence.au:%d/%m/%Y}{noted}"


# Small tools


def sha256(upload: Any) -> str:
    """SHA-256 of a file, which is left at its beginning."""
    found = hashlib.sha256()
    for block in upload.chunks():
        found.update(block)
    upload.seek(0)
    return found.hexdigest()


def checked_name(upload: Any, circuit: str) -> str:
    """Check a file at the door; gives its name, without a path.

    Args:
        circuit: a PES is XML, the others are PDF; empty for a file of any kind.

    Raises:
        Refused: the reason.
    """
    if upload is None:
        raise RefusedError("le fichier manque. À faire : choisissez le document")
    name = PurePosixPath(str(upload.name).replace("\\", "/")).name[:150] or "document.pdf"
    if not upload.size:
        raise RefusedError(f"{name} : le fichier est vide. À faire : exportez de nouveau le document")
    if upload.size > MAX_BYTES:
        raise RefusedError(
            f"{name} : {upload.size / 1e6:.0f} Mo, {MAX_BYTES / 1e6:.0f} Mo au plus. À faire : réduisez la résolution "
            "des pages numérisées"
        )
    upload.seek(0)
    head = upload.read(_HEADER_BYTES)
    upload.seek(0)
    is_xml = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
    if circuit == "pes" and not is_xml:
        raise RefusedError(
            f"{name} : ce n'est pas un flux PES (XML). À faire : déposez le fichier exporté par la comptabilité"
        )
    if circuit not in ("pes", "") and (is_xml or b"%PDF-" not in head):
        raise RefusedError(f"{name} : ce n'est pas un PDF. À faire : enregistrez le document au format PDF/A")
    return name


def _add_file(
    document: Document, name: str, stream: IO[bytes], user: Any, comment: str, *, shown: bool
) -> DocumentFile:
    added = DocumentFile(document=document, comment=comment, filename=name, file=File(stream, name=name))
    added._event_actor = user
    added.save()
    added.versions_new(action_name="replace" if shown else "keep", comment=comment, user=user)
    return added


def add_beside(document: Document, name: str, upload: Any, user: Any, comment: str) -> DocumentFile:
    """Keep a file beside those of the circuit, as it is.

    Mayan guesses what a file is from its content, then counts its pages, with LibreOffice when it looks like an office
    file, in the process that answers everybody: nobody needs the pages of a detached signature or of an annex, and a
    hostile one is not to be opened there. The document's last file stays that of the circuit.
    """
    shown = document.file_latest
    upload.seek(0)
    added = DocumentFile(
        document=document,
        comment=comment,
        filename=name,
        file=File(upload, name=name),
        checksum=sha256(upload),
        size=upload.size,
        mimetype="application/pdf" if name.lower().endswith(".pdf") else "application/octet-stream",
    )
    added._event_actor = user
    added.save(skip_introspection=True)
    document.file_latest = shown
    document._event_ignore = True
    document.save(update_fields=("file_latest",))
    return added


def _apply_transition(dossier: Dossier, label: str, user: Any, motif: str = "", comment: str = "") -> None:
    """Make one transition of Mayan's workflow, and repeat its state in the dossier."""
    instance = dossier.instance
    instance.refresh_from_db()
    passage = instance.state_active.origin_transitions.select_related("destination_state").get(label=label)
    token = _ours.set(True)
    try:
        data = json.dumps({"motif": motif} if motif else {})
        passage.do_execute(workflow_instance=instance, comment=comment, extra_data=data, user=user)
    finally:
        _ours.reset(token)
    names = {shown: name for name, shown in current().states.items()}
    origin, dossier.etat = dossier.etat_nom, names[passage.destination_state.label]
    dossier.depuis = timezone.now()
    dossier.par = name_of(user)
    dossier.motif = motif
    dossier.save()
    _add_to_history(dossier, label, user, origin, comment)


def _add_to_history(dossier: Dossier, what: str, user: Any, origin: str = "", note: str = "") -> None:
    """Add to the history what brought a dossier where it is."""
    Geste.objects.create(
        dossier=dossier,
        quand=dossier.depuis,
        compte=user.pk,
        identifiant=login_of(user),
        qui=dossier.par,
        quoi=what,
        de=origin,
        vers=dossier.etat_nom,
        motif=dossier.motif,
        note=note,
    )


def note_beside(dossier: Dossier, what: str, user: Any, note: str) -> None:
    """Add to the history what was done without moving the dossier."""
    Geste.objects.create(
        dossier=dossier,
        compte=user.pk,
        identifiant=login_of(user),
        qui=name_of(user),
        quoi=what,
        de=dossier.etat_nom,
        vers=dossier.etat_nom,
        note=note,
    )


def _check_whole(dossier: Dossier) -> None:
    """A dossier goes on from its history alone: each passage from where the one before came, and Mayan's log has it."""
    at = ""
    done = list(dossier.gestes.all())
    for one in done:
        if one.de != at:
            break
        at = one.vers
    moves = [one for one in done if one.de != one.vers]  # the others were beside the circuit
    logged = dossier.instance.log_entries.filter(transition__isnull=False).count()
    if at != dossier.etat_nom or dossier.instance.state_active.label != at or logged != len(moves) - 1:
        raise RefusedError(
            "l'historique de ce dossier n'est plus entier : il ne va pas plus loin. À faire : prévenez le groupement",
            409,
        )


@contextlib.contextmanager
def _locked_dossier(dossier: Dossier, states: Sequence[str], wish: str, seen: str = "") -> Iterator[Dossier]:
    """The dossier, for whoever has it first; a second one waits, then is told what was done meanwhile.

    Args:
        seen: number of the file that was shown to who acts; empty for who was shown none.
    """
    with transaction.atomic():
        held = Dossier.objects.select_for_update(of=("self",)).get(pk=dossier.pk)
        if held.etat not in states:
            when = timezone.localtime(held.depuis)
            raise RefusedError(
                f"trop tard pour {wish} : le dossier est « {held.etat_nom} » depuis le {when:%d/%m/%Y à %H:%M} "
                f"({held.par}). Rien n'a été changé",
                409,
            )
        if seen and seen != str(held.fichier_id):
            raise RefusedError(
                "le document a été remplacé depuis que cette page est ouverte. À faire : relisez-le", 409
            )
        _check_whole(held)
        yield held


def _check_awaited(dossier: Dossier, user: Any) -> None:
    people = awaited(dossier)
    if login_of(user) not in people:
        names = " ou ".join(map(current().name, people)) or "aucune"
        raise RefusedError(f"ce n'est pas à vous d'agir à cette étape. Personne attendue : {names}", 403)


def may_refuse(dossier: Dossier, user: Any) -> bool:
    """Whether somebody refuses what another was chosen to sign: the holder of the step, or who stands in for them.
    Nothing is stuck by a delegation that ended."""
    commune = current().communes.get(dossier.commune)
    if commune is None or not dossier.signataire or dossier.etat != "a_signer":
        return False
    step = commune.circuits[dossier.circuit].steps["a_signer"]
    return login_of(user) in (step.titulaire, *(one.suppleant.known.login for one in deputies(commune, step)))


def _validate_reason(text: str) -> str:
    reason = " ".join(str(text or "").split())
    if len(reason) < 3:
        raise RefusedError("le motif du refus manque. À faire : écrivez en quelques mots ce qu'il faut corriger")
    return reason[:1000]


def limited[**P, T](act: Callable[P, T]) -> Callable[P, T]:
    """Keep to a person's own requests what one of theirs makes wait: the check of a file may take minutes, in threads
    that answer everybody (a commune's places: `seal.Places`).

    Args:
        act: who does it is its first argument.
    """

    @functools.wraps(act)
    def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        user: Any = args[0]
        service = login_of(user) == current().service
        with _counting:
            if _busy[user.pk] >= MAX_PARALLEL_ACTS and not service:
                raise RefusedError(
                    "vos demandes précédentes sont encore en cours. À faire : attendez leur réponse, puis recommencez",
                    429,
                )
            _busy[user.pk] += 1
        try:
            return act(*args, **kwargs)
        finally:
            with _counting:
                _busy[user.pk] -= 1
                if not _busy[user.pk]:
                    del _busy[user.pk]

    return kept


# Deposit


@dataclass(frozen=True)
class Deposit:
    """What is told of a document that is brought, as it came."""

    commune: str
    circuit: str
    reference: str
    objet: str
    numero: str
    date: str
    echeance: str
    matiere: str
    nature: str = ""
    transmission: str = ""
    # Who signs: a key of `signatory.choices`; and, of a scanned document, "oui" for who read their name on it.
    signataire: str = ""
    mention_verifiee: str = ""

    def problems(self) -> Iterator[str]:
        """What is wrong with it, in French."""
        known = current()
        if self.commune not in known.communes:
            yield f"commune : « {self.commune[:60]} » n'a pas de parapheur ; connues : {', '.join(known.communes)}"
        if self.circuit not in known.circuits:
            yield f"circuit : « {self.circuit[:60]} » est inconnu ; connus : {', '.join(known.circuits)}"
        for name, value, length in (("reference", self.reference, 200), ("objet", self.objet, 500)):
            if not value:
                yield f"{name} : champ obligatoire absent"
            elif len(value) > length:
                yield f"{name} : {length} caractères au plus"
        if len(self.numero) > 60:
            yield "numero : 60 caractères au plus"
        if self.matiere and not _CIRCUIT_MATTER_PATTERN.fullmatch(self.matiere):
            yield f"matiere : « {self.matiere[:20]} » n'est pas une matière ; écrivez par exemple 7.1"
        if self.circuit == "arrete" and (self.nature or self.transmission):
            yield from transmission.problems(self.nature, self.transmission, self.matiere)
        for name, value, needed in (("date", self.date, True), ("echeance", self.echeance, False)):
            if needed or value:
                try:
                    dt.date.fromisoformat(value)
                except ValueError:
                    yield f"{name} : « {value[:40]} » n'est pas une date ; écrivez AAAA-MM-JJ"

    def own_problems(self) -> Iterator[str]:
        """What is wrong when somebody brings it here: what goes to the préfecture once signed is as the TdT takes it.

        An arrêté goes when who prepares it says so (CGCT, L2131-2); of a public contract without a matter, it is asked
        once it is signed (contracts.complete).
        """
        if not self.reference.startswith(OWN):
            yield f"reference : celle d'un rédacteur commence par {OWN}"
        if self.circuit == "arrete" and not (self.nature or self.transmission):
            yield from transmission.problems(self.nature, self.transmission, self.matiere)
        if self.circuit in TO_SEND or (self.circuit == CONTRACT and self.matiere):
            yield from transmission.number_problems(self.circuit, self.transmission, self.numero)
            if not self.matiere:
                yield (
                    "matiere : champ obligatoire absent ; écrivez la matière de la nomenclature de la préfecture, par "
                    "exemple 6.1"
                )


DEPOSIT_FIELDS = tuple(field.name for field in fields(Deposit))


def may_deposit(user: Any, commune: str) -> bool:
    """Whether somebody brings documents for a commune."""
    known = current()
    login = login_of(user)
    return login == known.service or (commune in known.communes and login in known.communes[commune].redacteurs)


def brought(dossier: Dossier) -> list[str]:
    """Digests of the circuit's document: its own, and that of what was brought when the door wrote it again."""
    beside = dossier.document.files.filter(pk__gt=dossier.origine_id).order_by("pk").first()
    return [dossier.origine.checksum, *([beside.checksum] if beside and beside.comment == BROUGHT else [])]


def _find_existing_deposit(deposit: Deposit, digest: str) -> Dossier | None:
    found = Dossier.objects.filter(reference=deposit.reference).select_related("origine").first()
    if found is None:
        return None
    if digest not in brought(found) or (found.commune, found.circuit) != (deposit.commune, deposit.circuit):
        raise RefusedError(
            f"la référence {deposit.reference} est déjà celle d'un autre document. À faire : donnez une autre "
            "référence, ou reprenez le dossier s'il a été refusé",
            409,
        )
    return found


@limited
def deposit(
    user: Any,
    told: Deposit,
    upload: Any,
    annexes: Sequence[Any] = (),
    kept: Callable[[Dossier], None] | None = None,
) -> tuple[Dossier, bool]:
    """Put a document at the beginning of its circuit, once for a reference; gives the dossier, and whether it is new.

    Args:
        annexes: files that go with it wherever it goes: who gives the visa and who signs read them too. The gateway's
            alone: nothing would carry those of another on.
        kept: what is noted elsewhere with a new dossier, or not at all.

    Raises:
        Refused: with all that is to be corrected.
    """
    if problems := list(told.problems()):
        raise RefusedError(" ; ".join(problems))
    if not may_deposit(user, told.commune):
        raise RefusedError("vous ne déposez pas de dossier pour cette commune", 403)
    if annexes and login_of(user) != current().service:
        raise RefusedError("annexes : celles d'une délibération viennent du serveur des délibérations", 403)
    if login_of(user) != current().service and (problems := list(told.own_problems())):
        raise RefusedError(" ; ".join(problems))
    name = checked_name(upload, told.circuit)
    named = [(checked_name(one, ""), one) for one in annexes]
    digest = sha256(upload)
    if known := _find_existing_deposit(told, digest):
        return known, False
    chosen = signatory.choose(current().communes[told.commune], told.signataire, told.circuit, told.matiere)
    with asking(told.commune):
        admitted = _check_document(name, upload, told.circuit, chosen, told.mention_verifiee)
    circuit = current().communes[told.commune].circuits[told.circuit]
    document = Document(
        document_type=DocumentType.objects.get(label=circuit.type),
        label=f"{told.numero} {told.objet}".strip()[:255],
    )
    document._event_actor = user
    document.save()
    try:
        file = _add_admitted(document, admitted, user, "Document à signer")
        with transaction.atomic():
            instance = Workflow.objects.get(internal_name=circuit.workflow).launch_for(document=document, user=user)
            made = Dossier.objects.create(
                document=document,
                instance=instance,
                commune=told.commune,
                circuit=told.circuit,
                reference=told.reference,
                objet=told.objet,
                numero=told.numero,
                matiere=told.matiere,
                nature=told.nature if told.circuit == "arrete" else "",
                transmission=told.transmission if told.circuit == "arrete" else "",
                date=told.date,
                echeance=told.echeance or None,
                auteur=user,
                etat=next(iter(circuit.steps)),
                depuis=timezone.now(),
                par=name_of(user),
                origine=file,
                fichier=file,
                **_signatory_fields(chosen),
            )
            if kept:
                kept(made)
            _add_to_history(
                made,
                "Déposer",
                user,
                note=". ".join(filter(None, (admitted.note, *_attach_annexes(made, named, user)))),
            )
    except IntegrityError:  # the same reference at the same moment
        _take_back(document)
        if known := _find_existing_deposit(told, digest):
            return known, False
        raise
    except BaseException:
        _take_back(document)
        raise
    made.refresh_from_db()
    return made, True


def _take_back(document: Document) -> None:
    """Delete what was just made. Mayan's search for duplicates may note it at that moment: then once more, with it."""
    number = document.pk
    for left in reversed(range(_TIMES)):
        try:
            return document.delete(to_trash=False)
        except IntegrityError:
            if not left:
                raise
            time.sleep(_PAUSE_S)
            document = Document.objects.get(pk=number)  # its own number goes with what was undone


def _attach_annexes(dossier: Dossier, annexes: Iterable[tuple[str, Any]], user: Any) -> Iterator[str]:
    """Keep annexes with a dossier; tells each, for the history."""
    for name, upload in annexes:
        made = Piece.objects.create(
            dossier=dossier,
            genre=ANNEX,
            nom=name,
            fichier=add_beside(dossier.document, name, upload, user, ANNEX),
            empreinte=sha256(upload),
            compte=user.pk,
            par=name_of(user),
        )
        yield f"{ANNEX} : {name} (SHA-256 {made.empreinte})"


def _signatory_fields(chosen: signatory.Choice | None) -> dict[str, Any]:
    """Fields of a dossier that tell who signs it."""
    if chosen is None:
        return {"signataire": "", "qualite": "", "delegation": None, "absence": None}
    return {
        "signataire": chosen.login,
        "qualite": chosen.quality,
        "delegation": chosen.delegation,
        "absence": chosen.absence,
    }


@dataclass(frozen=True)
class _Admitted:
    """A document that passed the door.

    Attributes:
        upload: what was brought.
        written: the circuit's document when it had to be written again.
        note: what the history says.
    """

    name: str
    upload: Any
    written: IO[bytes] | None
    note: str


def asking(commune: str) -> contextlib.AbstractContextManager[None]:
    """What is asked of the seal inside is for a commune; an entity takes the places of the one that hosts it."""
    known = current().communes.get(commune)
    return seal.asked_by((known.siren_commune or known.siren) if known else commune)


def _check_document(name: str, upload: Any, circuit: str, chosen: signatory.Choice | None, read: str) -> _Admitted:
    """Check a document to sign, and that it bears who signs it.

    Raises:
        Refused: the reason.
    """
    judged = seal.check_contract(name, upload).shown if circuit == CONTRACT else ""
    mentions = chosen.mentions if chosen and circuit != "pes" else []
    written = tempfile.TemporaryFile()  # noqa: SIM115 - gone when nothing holds it
    more = {"contract": "signature"} if circuit == CONTRACT else {}
    if not seal.check_document(name, upload, mentions, written, **more) and chosen and read != "oui":
        raise RefusedError(
            f"{name} : ce document est une image, son texte ne se lit pas. À faire : déposez le PDF que le traitement "
            f"de texte produit, ou vérifiez que « {chosen.shown} » y figure (CRPA, L212-1) et cochez la case qui le dit"
        )
    again = bool(written.seek(0, os.SEEK_END))
    said = [
        f"Signataire choisi : {chosen.shown}" if chosen else "",
        judged,
        f"Réécrit pour se lire d'une seule façon ; empreinte du fichier déposé, gardé à côté : {sha256(upload)}"
        if again
        else "",
    ]
    return _Admitted(name, upload, written if again else None, ". ".join(filter(None, said)))


def _add_admitted(document: Document, admitted: _Admitted, user: Any, comment: str) -> DocumentFile:
    """Keep the circuit's document; and beside it what was brought, when it was written again."""
    file = admitted.written or admitted.upload
    file.seek(0)
    added = _add_file(document, admitted.name, file, user, comment, shown=True)
    if admitted.written:
        add_beside(document, admitted.name, admitted.upload, user, BROUGHT)
    return added


@limited
def take_up(
    user: Any,
    dossier: Dossier,
    upload: Any,
    signataire: str = "",
    read: str = "",
    told: Deposit | None = None,
    kept: Callable[[], None] | None = None,
) -> Dossier:
    """Begin a refused dossier again, with a corrected document.

    Args:
        signataire: who signs it, as in a `Deposit`; the same as before when nothing is said.
        read: as `Deposit.mention_verifiee`.
        told: what is told anew of the document that is written here: its subject, matter and transmission.
        kept: what is noted elsewhere with it, or not at all.

    Raises:
        Refused: the reason.
    """
    if told and (problems := [*told.problems(), *told.own_problems()]):
        raise RefusedError(" ; ".join(problems))
    if not may_deposit(user, dossier.commune):
        raise RefusedError("seuls les rédacteurs de la commune reprennent un dossier refusé", 403)
    name = checked_name(upload, dossier.circuit)
    key = signataire or _signatory_key(dossier)
    matter = told.matiere if told else dossier.matiere
    chosen = signatory.choose(_circuit_of(dossier)[0], key, dossier.circuit, matter)
    with asking(dossier.commune):
        admitted = _check_document(name, upload, dossier.circuit, chosen, read)
    with _locked_dossier(dossier, ["refuse"], "reprendre ce dossier") as held:
        held.origine = held.fichier = _add_admitted(held.document, admitted, user, "Document corrigé")
        for field, value in _signatory_fields(chosen).items():
            setattr(held, field, value)
        if told:
            held.objet, held.matiere, held.transmission = told.objet, told.matiere, told.transmission
        if kept:
            kept()
        _apply_transition(held, "Reprendre", user, comment=admitted.note)
        return held


def _signatory_key(dossier: Dossier) -> str:
    """Who was chosen to sign, as `signatory.choose` takes it."""
    if dossier.delegation_id:
        return f"delegation:{dossier.delegation_id}"
    if dossier.absence_id:
        return f"absence:{dossier.absence_id}"
    return signatory.HOLDER if dossier.signataire else ""


# Steps


@limited
def approve(user: Any, dossier: Dossier, state: str, seen: str = "") -> Dossier:
    """Pass a control (a_controler) or give the visa (a_viser).

    Args:
        seen: number of the file that was shown to who passes it.

    Raises:
        Refused: the reason.
    """
    with _locked_dossier(dossier, [state], f"{_PASS[state].lower()} ce dossier", seen) as held:
        _check_awaited(held, user)
        _apply_transition(held, _PASS[state], user, comment=_stands_in_for(held, user))
        return held


@limited
def refuse(user: Any, dossier: Dossier, motif: str, state: str = "", seen: str = "") -> Dossier:
    """Refuse it, with a reason.

    Args:
        state: that was shown to who refuses; any that people pass by default.
        seen: number of the file that was shown to them.

    Raises:
        Refused: the reason.
    """
    reason = _validate_reason(motif)
    states = [state] if state in PASSED_BY_PEOPLE else PASSED_BY_PEOPLE
    with _locked_dossier(dossier, states, "refuser ce dossier", seen) as held:
        if not may_refuse(held, user):
            _check_awaited(held, user)
        _apply_transition(held, "Refuser", user, motif=reason, comment=_stands_in_for(held, user))
        return held


@dataclass(frozen=True)
class _ToSign:
    """What a signature is asked for: which document, since when it waits, and whose (name and SIREN)."""

    document: int
    since: dt.datetime
    people: list[tuple[str, str]]


def _to_sign(held: Dossier, user: Any) -> _ToSign:
    """What is to be signed, by somebody who may hand it in. Raises Refused."""
    _check_awaited(held, user)
    commune, _circuit_found = _circuit_of(held)
    if held.signataire:
        signatory.check(held)
    # The maire who presides the CCAS has a certificate of the commune, that hosts it.
    sirens = [commune.siren, *filter(None, [commune.siren_commune])]
    people = [(commune.personnes[login], siren) for login in awaited(held) for siren in sirens]
    return _ToSign(held.origine_id, held.depuis, people)


def _find_document_to_sign(user: Any, dossier: Dossier, document: int) -> _ToSign:
    """What is to be signed, if it still is the document that was shown.

    Args:
        document: number of its file.

    Raises:
        Refused: the reason.
    """
    with _locked_dossier(dossier, ["a_signer"], _SIGN) as held:
        asked = _to_sign(held, user)
    if asked.document != document:
        raise RefusedError("le document a été remplacé depuis que vous l'avez choisi. À faire : relisez-le", 409)
    return asked


def check_signable(user: Any, dossier: Dossier, document: int) -> None:
    """Check that somebody may sign a document now. Arguments and errors: `prepare`."""
    _find_document_to_sign(user, dossier, document)


@limited
def prepare(user: Any, dossier: Dossier, document: int, certificates: Sequence[str]) -> dict[str, Any]:
    """Prepare the signature of a document by a key that is on its person's PC (seal.prepare).

    Args:
        document: number of the file that they chose.
        certificates: PEM, that of the key first.

    Raises:
        Refused: the reason.
    """
    asked = _find_document_to_sign(user, dossier, document)
    place = _town_hall_place(dossier)
    if dossier.circuit == "pes" and not place[1]:
        raise RefusedError(
            "un flux comptable dit où il est signé, et le code postal de la mairie manque. À faire : le groupement "
            "l'écrit dans le fichier de la commune, champ code_postal"
        )
    original = DocumentFile.objects.get(pk=document)
    with asking(dossier.commune), original.open() as file:
        return seal.prepare(original.filename, file, asked.people, certificates, place)


def town(commune: Commune) -> str:
    """Name of the commune where a body is; of an entity, that of the commune that hosts it."""
    hosts = (one.nom for one in current().communes.values() if one.siren == commune.siren_commune)
    return next(hosts, commune.nom)


def _town_hall_place(dossier: Dossier) -> tuple[str, str]:
    """Commune and postal code of the town hall; of an entity, those of the commune that hosts it."""
    commune, _circuit_found = _circuit_of(dossier)
    return town(commune), commune.code_postal


@limited
def finish(user: Any, dossier: Dossier, document: int, waiting: dict[str, Any], signatures: Sequence[str]) -> File:
    """The signed file of what was prepared; `sign` judges it, as one that a person brings.

    Args:
        document: number of the file.
        waiting: what `prepare` gave.
        signatures: what the key did, in base64.

    Raises:
        Refused: the reason.
    """
    _find_document_to_sign(user, dossier, document)
    original = DocumentFile.objects.get(pk=document)
    path = PurePosixPath(original.filename)
    with asking(dossier.commune), original.open() as file:
        made = seal.finish(original.filename, file, waiting, signatures)
    return File(made, name=f"{path.stem}-signe{path.suffix}")


@limited
def sign(user: Any, dossier: Dossier, upload: Any, kept: Callable[[], None] | None = None) -> Dossier:
    """Hand in the signed file: it is checked, sealed and kept, and the dossier moves on; or nothing changes.

    Args:
        kept: what is noted elsewhere with it, or not at all.

    Raises:
        Refused: the reason.
    """
    name = checked_name(upload, dossier.circuit)
    with _locked_dossier(dossier, ["a_signer"], _SIGN) as held:
        asked = _to_sign(held, user)
        original = held.origine
    # Minutes at times: nobody waits for the dossier meanwhile. What was sealed counts if all is as it was.
    with asking(dossier.commune), original.open() as file:
        more = {"contract": True} if dossier.circuit == CONTRACT else {}
        found = seal.check_and_seal(name, file, upload, asked.people, **more)
    upload.seek(0)
    with _locked_dossier(dossier, ["a_signer"], _SIGN) as held:
        if _to_sign(held, user) != asked:
            raise RefusedError(
                "ce dossier a changé pendant la vérification de la signature, qui n'est pas gardée. À faire : "
                "relisez-le, puis recommencez",
                409,
            )
        held.fichier = _add_file(
            held.document,
            name,
            found.sealed or upload,
            user,
            "Signé et cacheté" if found.sealed else "Signé",
            shown=False,
        )
        said = f"Signature de {found.holder} (certificat {found.serial})"
        if found.outdated:
            said += f", admise bien que d'un format périmé : {found.outdated}"
        stands_in = _stands_in_for(held, user)
        _apply_transition(held, "Signer", user, comment=f"{said}. {stands_in}" if stands_in else said)
        if held.circuit == CONTRACT:  # what it becomes is said by a person (contracts.complete), never concluded here
            held.echeance = timezone.localdate() + dt.timedelta(days=current().contract_days)
            held.save(update_fields=["echeance"])
        if kept:
            kept()
        return held


def close(user: Any, dossier: Dossier, note: str) -> None:
    """End a signed contract that is not transmitted; the caller holds its row."""
    _apply_transition(dossier, "Clore", user, comment=note)


def matter_of(text: str) -> str:
    """A matter as somebody wrote it, "" for none.

    Raises:
        Refused: it is none.
    """
    if text and not _CIRCUIT_MATTER_PATTERN.fullmatch(text):
        raise RefusedError(f"matiere : « {text[:20]} » n'est pas une matière ; écrivez par exemple 1.1")
    return text


def follow(user: Any, dossier: Dossier, state: str, motif: str = "") -> Dossier:
    """Note what became of a signed document, for the gateway; the same thing twice changes nothing.

    Raises:
        Refused: the reason.
    """
    if login_of(user) != current().service:
        raise RefusedError("seule la passerelle note la suite d'un dossier", 403)
    if state not in _GATEWAY_TRANSITIONS:
        raise RefusedError(f"etat : « {state[:40]} » est inconnu ; connus : {', '.join(_GATEWAY_TRANSITIONS)}")
    with transaction.atomic():
        held = Dossier.objects.select_for_update(of=("self",)).get(pk=dossier.pk)
        if held.etat == state or (state, held.etat) == ("teletransmis", "acquitte"):
            return held
        if held.etat not in _GATEWAY_TRANSITIONS[state]:
            raise RefusedError(
                f"le dossier est « {held.etat_nom} » : il ne passe pas à « {current().states[state]} »", 409
            )
        _check_whole(held)
        for label in _GATEWAY_TRANSITIONS[state][held.etat]:
            reason = " ".join(motif.split())[:1000] or "sans précision"
            _apply_transition(held, label, user, motif=reason if label == "Mettre en erreur" else "")
        return held


# Absences


def deputies_of(user: Any) -> list[Any]:
    """Users who may stand in for somebody, by the commune's file."""
    own = login_of(user)
    logins = {
        login
        for commune in current().communes_of(own)
        for _circuit_name, _state, step in commune.steps_of(own)
        if step.titulaire == own
        for login in step.suppleants
    }
    return list(accounts(logins).order_by("last_name"))


def be_absent(user: Any, deputy: str, first: dt.date, last: dt.date) -> Absence:
    """Note days of absence.

    Raises:
        Refused: the reason.
    """
    chosen = next((one for one in deputies_of(user) if one.known.login == deputy), None)
    if chosen is None:
        raise RefusedError("cette personne n'est pas votre suppléant dans le fichier de la commune")
    if last < first:
        raise RefusedError("le dernier jour est avant le premier. À faire : corrigez les dates")
    if last < timezone.localdate():
        raise RefusedError("ces dates sont passées. À faire : corrigez-les")
    return Absence.objects.create(personne=user, suppleant=chosen, du=first, au=last)
