"""The pages: what awaits me, a dossier, a deposit, my absences."""

from __future__ import annotations

import datetime as dt
import io
import shlex
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from creatic_accounts.models import login_of
from creatic_accounts.pages import Entry, Whole, tell
from django.http import FileResponse, Http404, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.views.generic import TemplateView, View

from . import circuit, contracts, drafting, lots, opendata, procurement, registers, signatory, transmission
from .configuration import Commune, current
from .models import CONTRACT, Acte, Delegation, Dossier, label
from .refusal import RefusedError

_OPENS = "creatic_lot"  # of the session
_DATA: dict[str, Callable[[Any, Dossier, opendata.Typed], Dossier]] = {
    "donnees": opendata.keep,
    "modification": opendata.add_change,
    "plateforme": lambda user, dossier, _typed: opendata.leave(user, dossier),
}


class _Page(Whole, TemplateView):
    """A page; a refusal is shown above it."""

    def refused(self, refusal: RefusedError, **given: Any) -> HttpResponse:
        """Show the page again, with the reason and what was typed."""
        return self.render_to_response(self.get_context_data(refus=str(refusal), **given))

    def done(self, message: str, name: str, *arguments: Any) -> HttpResponse:
        """Say that it is done, on the next page."""
        tell(self.request, message)
        return HttpResponseRedirect(reverse(f"parapheur:{name}", args=arguments))


class ToDo(_Page):
    """What awaits me."""

    template_name = "creatic_parapheur/a_traiter.html"
    title = "À traiter"

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """My dossiers, and where I stand in for somebody."""
        user = self.request.user
        communes = current().communes_of(login_of(user))
        dossiers = list(circuit.to_do(user).select_related("fichier"))
        return super().get_context_data(**given) | {
            "dossiers": dossiers,
            "a_signer": lots.signable(user, dossiers),
            "commune": next(iter(communes), None),
            "plusieurs_communes": len(communes) > 1,
            "depose": any(circuit.may_deposit(user, one.slug) for one in communes),
            "remplace": user.suppleances.active().select_related("personne__known"),
        }

    def post(self, request: Any) -> HttpResponse:
        """Have dossiers signed by the program of the PC, each as it was shown: C(dossier), or C(montre) for all."""
        try:
            pairs = [one.split(":") for one in request.POST.getlist("montre" if "tous" in request.POST else "dossier")]
            chosen = {int(number): int(document) for number, document in pairs}
        except ValueError:
            chosen = {}
        try:
            lot, secret = lots.make(request.user, request.session.session_key, chosen)
        except RefusedError as refusal:
            return self.refused(refusal)
        request.session[_OPENS] = secret  # until the page that opens the program, which comes now
        return HttpResponseRedirect(reverse("parapheur:lot", args=[lot.pk]))


class OneLot(_Page):
    """Opens the program, once, and shows what comes of it."""

    template_name = "creatic_parapheur/lot.html"
    title = "Signature"

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """Each document, and the address of the program."""
        try:
            lot = lots.own(self.request.user, self.kwargs["lot"])
        except RefusedError as refusal:
            raise Http404(str(refusal)) from None
        secret = self.request.session.pop(_OPENS, "")
        return super().get_context_data(**given) | {
            "lot": lot,
            "etat": lots.shown(lot),
            "adresse": lots.address(lot, secret) if secret and lot.prise is None else "",
            "restent": [one for one in lot.demandes.defer("attente", "valeurs") if one.etat != "signe"],
        }

    def render_to_response(self, context: dict[str, Any], **given: Any) -> HttpResponse:
        """Nothing keeps the page: it bears the secret."""
        answer: HttpResponse = super().render_to_response(context, **given)
        answer["Cache-Control"] = "no-store"
        return answer


class LotState(View):
    """Where a lot is, for its page."""

    def get(self, request: Any, lot: Any) -> HttpResponse:
        """Say it."""
        try:
            answer = JsonResponse(lots.shown(lots.own(request.user, lot)))
        except RefusedError as refusal:
            answer = JsonResponse({"message": str(refusal)}, status=refusal.status)
        answer["Cache-Control"] = "no-store"
        return answer


class Dossiers(_Page):
    """All the dossiers of my commune."""

    template_name = "creatic_parapheur/dossiers.html"
    title = "Dossiers de la commune"
    shown = 200

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """The newest first, in a state or in all."""
        state = self.request.GET.get("etat", "")
        words = self.request.GET.get("mots", "").strip()
        found = circuit.visible(self.request.user).order_by("-depuis")
        if state:
            found = found.filter(etat=state)
        if words:
            found = found.filter(objet__icontains=words) | found.filter(numero__icontains=words)
        return super().get_context_data(**given) | {
            "dossiers": found[: self.shown],
            "plusieurs": self.request.user.is_superuser or len(current().communes_of(login_of(self.request.user))) > 1,
            "etats": current().states,
            "etat": state,
            "mots": words,
            "limite": self.shown,
        }


class OneDossier(_Page):
    """A dossier, with what I can do about it."""

    template_name = "creatic_parapheur/dossier.html"

    @property
    def dossier(self) -> Dossier:
        """The one of the address."""
        try:
            return circuit.find(self.request.user, self.kwargs["number"])
        except RefusedError as refusal:
            raise Http404(str(refusal)) from None

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """Its history, and who is awaited."""
        dossier, user = self.dossier, self.request.user
        people = circuit.awaited(dossier) if dossier.commune in current().communes else []
        return super().get_context_data(**given) | {
            "title": str(dossier),
            "dossier": dossier,
            "commande": shlex.join(["signer-acte", dossier.fichier.filename or "document"]),  # to be copied to a shell
            "attendus": [current().name(login) for login in people],
            "a_moi": login_of(user) in people,
            "reprend": dossier.etat == "refuse" and circuit.may_deposit(user, dossier.commune),
            "refuse": circuit.may_refuse(dossier, user),
            "contrat": dossier.circuit == CONTRACT,
            "pieces": dossier.pieces.select_related("dossier__origine", "dossier__fichier"),
            "pieces_vues": contracts.shown(dossier),
            "manquent": contracts.lacking(dossier),
            "avant": contracts.due(dossier),
            "trop_tard": contracts.late(dossier),
            "contrat_dit": given.get("contrat_dit") or contracts.said(dossier),
            "sortes": procurement.KINDS,
            "donnees": opendata.shown(user, dossier, given.get("donnees_saisies")),
            "prevu": contracts.foreseen(dossier),
            "decrit": contracts.describable(dossier),
            "demandees": contracts.asked(dossier),
            "joint": dossier.circuit == CONTRACT and circuit.may_deposit(user, dossier.commune),
            "genres": [(kind, label(kind)) for kind in contracts.kinds(dossier)],
            "signataires": signatory.choices(current().communes[dossier.commune])
            if people or dossier.signataire
            else [],
            "historique": dossier.gestes.all(),
            "touche": getattr(dossier, "acte", None),
            "suites": [(drafting.EFFECTS[one.effet], one) for one in dossier.suites.select_related("dossier")],
            "effets": [one for one in drafting.models().values() if one.effect]
            if circuit.may_deposit(user, dossier.commune)
            and dossier.commune in current().communes
            and registers.touchable(current().communes[dossier.commune]).filter(pk=dossier.pk).exists()
            else [],
        }

    def post(self, request: Any, number: int) -> HttpResponse:
        """Do what was asked."""
        dossier, user, wish = self.dossier, request.user, request.POST.get("geste")
        state, seen = request.POST.get("etat", ""), request.POST.get("vu", "")
        upload = request.FILES.get("fichier")
        typed = {name: request.POST.getlist(name) for name in request.POST}
        told = contracts.Told(**{name: request.POST.get(name, "").strip() for name in contracts.CONTRACT_FIELDS})
        try:
            if wish == "passer" and state in ("a_controler", "a_viser"):
                after = circuit.approve(user, dossier, state, seen)
            elif wish == "refuser":
                after = circuit.refuse(user, dossier, request.POST.get("motif", ""), state, seen)
            elif wish == "signer":
                after = circuit.sign(user, dossier, upload)
            elif wish == "joindre":
                piece = contracts.add(user, dossier, request.POST.get("genre", ""), upload)
                return self.done(f"« {piece.nom} » est joint : {piece.verdict or piece.genre_nom}.", "dossier", number)
            elif wish == "completer":
                after = contracts.complete(user, dossier, told)
                became = "il est complet et part pour la préfecture" if after.complet else contracts.stays(after)
                return self.done(f"« {after} » : {became}.", "dossier", number)
            elif wish == "decrire":
                after = contracts.describe(user, dossier, told)
                return self.done(f"« {after} » : {after.contrat_nom}, c'est noté.", "dossier", number)
            elif wish in _DATA:
                after = _DATA[wish](user, dossier, typed)
                return self.done("C'est noté.", "dossier", number)
            elif wish == "reprendre":
                chosen, read = request.POST.get("signataire", ""), request.POST.get("mention_verifiee", "")
                after = circuit.take_up(user, dossier, upload, chosen, read)
            else:
                raise RefusedError("cette page n'est plus à jour. À faire : rechargez-la")
        except RefusedError as refusal:
            motif, said = request.POST.get("motif", ""), told if told.contrat else None
            return self.refused(
                refusal, motif=motif, contrat_dit=said, donnees_saisies=typed if wish in _DATA else None
            )
        return self.done(f"« {after} » est maintenant : {after.etat_nom}.", "a_traiter")


class LastFile(View):
    """The last file of a dossier."""

    def get(self, request: Any, number: int) -> FileResponse:
        """Give it; to be read in the browser (C(lire)) if it is a PDF."""
        try:
            file = circuit.find(request.user, number).fichier
        except RefusedError as refusal:
            raise Http404(str(refusal)) from None
        return _file_response(request, file, file.filename)


def _file_response(request: Any, file: Any, name: str) -> FileResponse:
    """A file. What is not a PDF is never shown by the browser: it might be a page that acts under the reader's name."""
    read = "lire" in request.GET and file.mimetype == "application/pdf"
    return FileResponse(file.open(), as_attachment=not read, filename=name, content_type=file.mimetype)


class OnePiece(View):
    """An annex or a counter-signature of a dossier."""

    def get(self, request: Any, number: int, piece: int) -> FileResponse:
        """Give it."""
        try:
            found = circuit.find(request.user, number).pieces.filter(pk=piece).first()
        except RefusedError as refusal:
            raise Http404(str(refusal)) from None
        if found is None:
            raise Http404("cette pièce n'existe pas")
        return _file_response(request, found.fichier, found.nom)


class EssentialData(View):
    """The file of a contract's essential data."""

    def get(self, request: Any, number: int) -> HttpResponse:
        """Give it."""
        try:
            name, text = opendata.file(circuit.find(request.user, number))
        except RefusedError as refusal:
            raise Http404(str(refusal)) from None
        return FileResponse(
            io.BytesIO(text.encode()), as_attachment=True, filename=name, content_type="application/json"
        )


class Deposit(_Page):
    """A document that a rédacteur brings."""

    template_name = "creatic_parapheur/deposer.html"
    title = "Déposer un dossier"

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """The circuits, and what was typed. The reference is made with the form: sent twice, it is one dossier."""
        typed = {"reference": f"{circuit.OWN}{uuid.uuid4()}"}
        communes = _list_deposit_communes(self.request.user)
        commune = _requested_commune(self.request, communes)
        return {
            "commune": commune,
            "communes": _communes_to_choose(communes),
            "signataires": signatory.choices(commune) if commune else [],
            "circuits": current().circuits,
            "natures": transmission.NATURES,
            "transmissions": transmission.CHOICES,
            "propositions": [(start, transmission.proposal(start)) for start, *_rest in transmission.PROPOSALS],
            "saisie": typed,
            **super().get_context_data(**given),
        }

    def post(self, request: Any) -> HttpResponse:
        """Bring it."""
        commune = _requested_commune(request, _list_deposit_communes(request.user))
        typed = {name: request.POST.get(name, "").strip() for name in circuit.DEPOSIT_FIELDS if name != "commune"}
        try:
            told = circuit.Deposit(commune=commune.slug if commune else "", **typed)
            dossier, _new = circuit.deposit(request.user, told, request.FILES.get("fichier"))
        except RefusedError as refusal:
            return self.refused(refusal, saisie=typed)
        return self.done(f"« {dossier} » est déposé : {dossier.etat_nom}.", "dossier", dossier.pk)


class Drafting(_Page):
    """An arrêté or a décision that a rédacteur writes by a model: its fields once, what comes of them, the circuit."""

    template_name = "creatic_parapheur/rediger.html"
    title = "Rédiger un arrêté ou une décision"

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """The models; or the fields of one, with what was typed and what its model proposes."""
        communes = _list_deposit_communes(self.request.user)
        commune, model = _requested_commune(self.request, communes), self._requested_model()
        found = {
            "commune": commune,
            "communes": _communes_to_choose(communes),
            "modele": model,
            "modeles": registers.models_of(commune) if commune else [],
            "natures": transmission.NATURES,
            "transmissions": transmission.CHOICES,
            "saisie": {},
            "fautes": {},
        } | super().get_context_data(**given)
        act = self._refused_act(commune) if commune else None
        if act:
            model = drafting.models().get(act.modele)
        if commune is None or model is None:
            return found
        touched = act.vise if act else self._touched_dossier(commune)
        if model.effect and touched is None:
            return found | {"title": model.title, "vises": registers.touchable(commune)[:200]}
        if model.effect and touched:
            model = registers.following(model, touched)
        today = timezone.localdate()
        typed = {
            "reference": f"{circuit.OWN}{uuid.uuid4()}",
            "date": today.isoformat(),
            "matiere": model.matter,
            "transmission": model.proposal.choice,
            "tribunal": registers.court_of(commune),
            "signataire": signatory.HOLDER,
        } | (found["saisie"] or (act.valeurs if act else {}))
        register = registers.register_of(model)
        return found | {
            "title": model.title,
            "modele": model,
            "vise": touched if model.effect else None,
            "saisie": typed,
            "corrige": act,
            "nature": transmission.NATURES[model.nature],
            "champs": [_render_field(one, typed, found["fautes"]) for one in model.fields],
            "doutes": [(one.text, one.doubt) for one in model.visas if one.doubt],
            "signataires": signatory.choices(commune),
            "registre": registers.NAMES[register],
            "commence": registers.is_begun(commune, register, today.year),
        }

    def _requested_model(self) -> drafting.Model | None:
        name = self.request.POST.get("modele") or self.request.GET.get("modele", "")
        return drafting.models().get(name)

    def _refused_act(self, commune: Commune) -> Acte | None:
        return registers.refused_act(commune, self.request.POST.get("corrige") or self.request.GET.get("corrige", ""))

    def _touched_dossier(self, commune: Commune) -> Dossier | None:
        number = self.request.POST.get("vise") or self.request.GET.get("vise", "")
        return registers.touchable(commune).filter(pk=int(number[:18])).first() if number.isdecimal() else None

    def post(self, request: Any) -> HttpResponse:
        """Show what it becomes, as text or as PDF; or send it into the circuit."""
        typed = {name: value for name, value in request.POST.items() if name != "csrfmiddlewaretoken"}
        try:
            commune, model = _requested_commune(request, _list_deposit_communes(request.user)), self._requested_model()
            act = self._refused_act(commune) if commune else None
            model = drafting.models().get(act.modele) if act else model
            if commune is None or model is None or (typed.get("corrige") and act is None):
                raise RefusedError(
                    "cette page n'est plus à jour. À faire : choisissez de nouveau la commune et le modèle"
                )
            touched = act.vise if act else self._touched_dossier(commune) if model.effect else None
            model = registers.following(model, touched) if touched else model
            asked = registers.Asked(commune, model, typed.get("reference", ""), typed, touched)
            wish = request.POST.get("geste")
            if wish == "envoyer":
                sent = registers.correct(request.user, asked, act) if act else registers.send(request.user, asked)
                return self.done(f"« {sent.numero} {sent} » est déposé : {sent.etat_nom}.", "dossier", sent.pk)
            if wish == "pdf":
                return HttpResponse(registers.preview(request.user, asked), content_type="application/pdf")
            draft, whose = registers.composed(asked)
        except RefusedError as refusal:
            return self.refused(refusal, saisie=typed, fautes=getattr(refusal, "problems", {}))
        return self.render_to_response(self.get_context_data(saisie=typed, apercu=draft, pour=whose))


def _render_field(field: drafting.Field, typed: dict[str, str], faults: dict[str, str]) -> dict[str, Any]:
    """A field, as the page shows it: what it is, and each thing that is typed for it."""
    labels = [f"{field.label}, du", "au (compris)"] if len(field.inputs) > 1 else [field.label]
    parts = [
        {"nom": name, "libelle": text, "valeur": typed.get(name, "")}
        for name, text in zip(field.inputs, labels, strict=True)
    ]
    return {"champ": field, "genre": str(field.kind), "parties": parts, "faute": faults.get(field.inputs[0], "")}


def menu(request: Any) -> list[Entry]:
    """The pages, in the menu; what awaits somebody is counted."""
    return [
        Entry("À traiter", "parapheur:a_traiter", circuit.to_do(request.user).count()),
        Entry("Dossiers", "parapheur:dossiers"),
        *([Entry("Rédiger", "parapheur:rediger")] if _list_deposit_communes(request.user) else []),
        Entry("Mes absences", "parapheur:absences"),
        Entry("Délégations", "parapheur:delegations"),
    ]


def _requested_commune(request: Any, among: Sequence[Commune]) -> Commune | None:
    """Of some communes, the one of the address; the first one where it names none."""
    slug = request.POST.get("commune") or request.GET.get("commune", "")
    return next((one for one in among if slug in ("", one.slug)), None)


def _communes_to_choose(communes: Sequence[Commune]) -> dict[str, Commune]:
    """Communes among which somebody chooses; nothing where there is no choice."""
    return {one.slug: one for one in communes} if len(communes) > 1 else {}


def _list_deposit_communes(user: Any) -> list[Commune]:
    return [one for one in current().communes_of(login_of(user)) if circuit.may_deposit(user, one.slug)]


def _managed_commune(request: Any) -> Commune | None:
    """The commune whose delegations and absences somebody manages; for the administrator, the one of the address."""
    if request.user.is_superuser:
        return current().communes.get(request.POST.get("commune") or request.GET.get("commune", ""))
    return _requested_commune(request, signatory.managed(request.user))


class Delegations(_Page):
    """Delegations of a commune, each with its arrêté."""

    template_name = "creatic_parapheur/delegations.html"
    title = "Délégations"

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """All of them, the newest first: what ended is the trace of what was signed then."""
        user, commune = self.request.user, _managed_commune(self.request)
        own = commune or current().commune_of(login_of(user))
        found = Delegation.objects.filter(commune=own.slug) if own else Delegation.objects.none()
        names = own.personnes if own else {}
        return {
            "saisie": {},
            "gere": commune,
            "communes": current().communes if user.is_superuser else _communes_to_choose(signatory.managed(user)),
            "delegations": found.select_related("personne__known").order_by("-du", "-pk"),
            "personnes": [(login, names[login]) for login in (signatory.delegates(own) if own else [])],
            "fondements": signatory.BASES,
            "circuits": current().circuits,
            **super().get_context_data(**given),
        }

    def post(self, request: Any) -> HttpResponse:
        """Note one, or withdraw one."""
        typed = {name: value.strip() for name, value in request.POST.items()}
        try:
            if typed.get("retirer", "").isdigit():
                gone = signatory.withdraw(request.user, int(typed["retirer"][:18]))
                return self.done(f"La délégation de {gone.personne_nom} est retirée.", "delegations")
            circuits = request.POST.getlist("circuits")
            made = signatory.delegate(request.user, typed, circuits, typed.get("commune", ""))
        except RefusedError as refusal:
            return self.refused(refusal, saisie=typed)
        return self.done(f"C'est noté : délégation de {made.personne_nom}, arrêté {made.arrete}.", "delegations")


class Absences(_Page):
    """My absences, and who acts for me meanwhile; those of others, for who manages them."""

    template_name = "creatic_parapheur/absences.html"
    title = "Mes absences"

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        """Those that are not over."""
        user, commune = self.request.user, _managed_commune(self.request)
        known = signatory.holders(commune) if commune else {}
        names = commune.personnes if commune else {}
        return (
            {
                "saisie": {},
                "gere": commune,
                "communes": current().communes if user.is_superuser else _communes_to_choose(signatory.managed(user)),
                "autres": [
                    (login, names.get(login, login), [(one, names.get(one, one)) for one in deputies])
                    for login, deputies in known.items()
                    if login != login_of(user)
                ],
                "notees": list(signatory.managed_absences(commune)) if commune else [],
            }
            | super().get_context_data(**given)
            | {
                "suppleants": [
                    {"identifiant": one.known.login, "nom": circuit.name_of(one)} for one in circuit.deputies_of(user)
                ],
                "absences": user.absences.filter(annulee=False, au__gte=timezone.localdate()).select_related(
                    "suppleant__known"
                ),
            }
        )

    def post(self, request: Any) -> HttpResponse:
        """Note one, or cancel one."""
        user = request.user
        if request.POST.get("annuler", "").isdigit():
            try:
                signatory.end_absence(user, int(request.POST["annuler"][:18]))
            except RefusedError as refusal:
                return self.refused(refusal)
            return self.done("L'absence est annulée.", "absences")
        if request.POST.get("couple"):
            return self._for_somebody(request)
        typed = {name: request.POST.get(name, "") for name in ("suppleant", "du", "au")}
        try:
            try:
                first, last = (dt.date.fromisoformat(typed[name]) for name in ("du", "au"))
            except ValueError:
                raise RefusedError("une date manque ou n'en est pas une. À faire : choisissez les deux jours") from None
            absence = circuit.be_absent(user, typed["suppleant"], first, last)
        except RefusedError as refusal:
            return self.refused(refusal, saisie=typed)
        who = absence.suppleant_nom
        return self.done(f"C'est noté : {who} vous remplace du {first:%d/%m/%Y} au {last:%d/%m/%Y}.", "absences")

    def _for_somebody(self, request: Any) -> HttpResponse:
        """Note the absence of somebody else."""
        typed = {name: value.strip() for name, value in request.POST.items()}
        typed["personne"], _colon, typed["suppleant"] = typed["couple"].partition(":")
        try:
            absence = signatory.declare_absence(request.user, typed, typed.get("commune", ""))
        except RefusedError as refusal:
            return self.refused(refusal, saisie=typed)
        who = f"{absence.suppleant_nom} remplace {absence.personne_nom}"
        return self.done(f"C'est noté : {who} du {absence.du:%d/%m/%Y} au {absence.au:%d/%m/%Y}.", "absences")
