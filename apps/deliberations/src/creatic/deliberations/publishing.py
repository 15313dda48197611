"""What is put on line of an act, once a person of the commune chose it, and what is taken off again, with its trace.

The original is neither changed nor published in its place: it stays in the projet, and goes to the archives.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import transaction
from creatic.deliberations import choice, gestures, hidden, naming, pieces, publicity, rules, subjects, watch
from creatic.deliberations.places import commune_of, goes_on_line, meeting_of
from plone import api
from plone.app.textfield.value import RichTextValue
from plone.namedfile.file import NamedBlobFile
from Products.Five.browser import BrowserView
from zExceptions import NotFound, Unauthorized

_CHOOSERS = {"DGS", "Maire"}
_MAX_REASON_LENGTH = 1000  # characters


def _pdf_blob(data: bytes, name: str) -> NamedBlobFile:
    return NamedBlobFile(data=data, contentType="application/pdf", filename=name)


def chosen(projet: Any) -> dict[str, Any] | None:
    """What was chosen to be published of it."""
    found: dict[str, Any] | None = getattr(projet.aq_base, "creatic_choix", None)
    return {"mode": mode(projet), **found} if found else None


def published(projet: Any) -> dict[str, Any] | None:
    """`le`, `en_ligne` and `mode` of its publication; of one of before anybody had to choose, what its page says."""
    found: dict[str, Any] | None = getattr(projet.aq_base, "creatic_publie", None)
    if found is None and api.content.get_state(projet) == "publie":
        public = _find_publication(projet)
        on_line = getattr(public, "effective_date", None)
        day = on_line.asdatetime().date() if on_line else projet.date_reception
        found = {"le": day, "en_ligne": True, "mode": choice.ON_LINE}
    return found


def withdrawn(projet: Any) -> dict[str, Any] | None:
    """Who took it off, when and why."""
    found: dict[str, Any] | None = getattr(projet.aq_base, "creatic_retrait", None)
    return found


def stands(projet: Any) -> str:
    """What stands for what was done of its publication until now: chosen, published, taken off."""
    what, files = chosen(projet) or {}, ("copie", "annexes")
    said = [f"{name} {bool(value) if name in files else value}" for name, value in sorted(what.items())]
    return naming.digest(*said, str(published(projet)), str(withdrawn(projet)))


def mode(projet: Any) -> str:
    """How its commune publishes."""
    return str(getattr(commune_of(projet), "creatic_publication", "") or choice.ON_LINE)


def concerns(projet: Any) -> bool:
    """Whether it is published at all: it was adopted. What the council rejected has a number too (L2121-25)."""
    return api.content.get_state(projet) in ("adopte", "publie")


def choose(
    projet: Any, made: choice.Choice, received: datetime.date | None = None, seen: str = "", collective: bool = False
) -> None:
    """Note what is published of an act, and publish it once the préfecture has it.

    Args:
        projet: of the act.
        made: what a person chose.
        received: when the préfecture received it on paper.
        seen: digest of the subject that their page showed.
        collective: whether they said that it concerns nobody in particular.

    Raises:
        ValueError: its subject was not read, or nothing of such an act is published; the text is French.
    """
    if not publicity.may_go(goes_on_line(projet), collective):
        raise ValueError(f"{publicity.INDIVIDUAL}.")
    subjects.confirm(projet, made.subject, seen)
    projet.creatic_choix = {
        "objet": made.subject,
        "en_ligne": made.on_line,
        "copie": _pdf_blob(made.copy, f"{projet.numero}.pdf") if made.copy else None,
        "annexes": tuple(_pdf_blob(content, name) for name, content in made.annexes),
        "jour": made.day,
        "mode": mode(projet),
        "collectif": collective,
        "apres_retrait": withdrawn(projet) is not None,
    }
    watch.note(projet, f"Publication choisie : {made.sentence()}")
    if received:
        projet.date_reception, projet.suivi = received, "acquittee"
    if rules.is_executory(projet.suivi, projet.non_transmis):
        publish(projet)
    watch.keep(projet)
    projet.reindexObject()


def publish(projet: Any) -> None:
    """Make public what was chosen; nothing is, without a choice, nor of a decision that may concern somebody alone.

    Each choice is carried out once: what is told of an act later changes nothing of what is public, and above all puts
    nothing back on line that a person took off.
    """
    what, before = chosen(projet), published(projet)
    if what is None or not publicity.may_go(goes_on_line(projet), what.get("collectif", False)):
        return
    if not choice.is_to_do(what, before is not None, withdrawn(projet) is not None):
        return
    if not projet.document_signe:  # signed on paper
        projet.document_signe = _pdf_blob(projet.document.data, f"{projet.numero}.pdf")
    today = datetime.date.today()
    with api.env.adopt_roles(["Manager"]), watch.ours():
        if what["en_ligne"]:
            _put_on_line(projet, what, today)
    day = before["le"] if before else what["jour"] or today
    projet.creatic_publie = {"le": day, "en_ligne": what["en_ligne"], "mode": what["mode"]}
    projet.creatic_retrait = None
    if before:
        watch.note(projet, "Publié de nouveau")
        return
    with watch.ours():
        api.content.transition(projet, transition="publier")


def withdraw(projet: Any, why: str) -> None:
    """Take off line all that was published of an act; its pages say so, and since when."""
    today = datetime.date.today()
    said = _rich_text(f"<p>Acte retiré de la publication le {rules.french_date(today)}.</p>")
    with api.env.adopt_roles(["Manager"]), watch.ours():
        for public in (_find_item(projet), _find_publication(projet)):
            if public is not None:
                fill(public, f"{projet.numero} – acte retiré de la publication", said, None, ())
                watch.note(public, "Retiré de la publication")
    projet.creatic_publie = dict(published(projet) or {})
    if known := getattr(projet.aq_base, "creatic_choix", None):
        projet.creatic_choix = known | {"apres_retrait": False}  # it was carried out
    projet.creatic_retrait = {"par": api.user.get_current().getId(), "le": today, "motif": why}
    watch.note(projet, f"Retiré de la publication : {why}")
    watch.keep(projet)


def _put_on_line(projet: Any, what: dict[str, Any], today: datetime.date) -> None:
    commune, meeting = commune_of(projet), meeting_of(projet)
    named = f" (acte {projet.id_acte})" if projet.id_acte else ""
    received = f"{rules.NOT_SENT}."
    if projet.date_reception:
        received = f"Reçue en préfecture le {rules.french_date(projet.date_reception)}{named}."
    on_line = f"Mise en ligne le {rules.french_date(today)}."
    posted = f" {choice.posted(what['mode'], what['jour'])}".rstrip()
    copy = " Copie dont des mentions sont occultées (CRPA, L312-1-2)." if what["copie"] else ""
    text = "" if what["copie"] else _plain_text(projet.dispositif)
    voted = f"Adoptée {_escape_html(projet.vote().sentence())}. " if text else ""
    title, rank = f"{projet.numero} – {what['objet']}", int(projet.numero.rpartition("_")[2])
    document = _pdf_blob((what["copie"] or projet.document_signe).data, f"{projet.numero}.pdf")
    item = _find_item(projet) or api.content.create(
        container=_public_meeting(commune, meeting),
        type="Item",
        id=projet.numero.lower(),
        title=title,
        number=str(rank),
        sortable_number=rank,
        plonemeeting_uid=projet.UID(),
        plonemeeting_last_modified=datetime.datetime.now(),
        category=projet.matiere[0],
        representatives_in_charge=[],
    )
    fill(item, title, _rich_text(f"{text}<p><em>{voted}{received} {on_line}{posted}{copy}</em></p>"), None,
          (document, *what["annexes"]))  # fmt: skip # one call by its parts
    publication = _find_publication(projet)
    if publication is None:
        publication = api.content.create(
            container=commune.publications,
            type="Publication",
            id=projet.numero.lower(),
            safe_id=True,  # somebody may have taken the name
            title=title,
            document_type="deliberation",
            category=projet.matiere[0],
            **decided(meeting, today),
        )
        watch.mark(publication, projet)
        api.content.transition(publication, transition="publish")
    fill(publication, title, _rich_text(f"<p>{received} {on_line}{posted}{copy}</p>"), document, what["annexes"])


def decided(meeting: Any, today: datetime.date) -> dict[str, Any]:
    """What a publication of this day says of the decision: the council's, of this meeting."""
    return {
        "decision_date": meeting.date,
        "entry_date": today,
        "legislative_authority": "conseil",
        "subject_to_authority": None,
        "enable_timestamping": False,
        "supersede": None,
    }


def fill(public: Any, title: str, text: RichTextValue, document: Any, files: Any) -> None:
    """Have a public object say this, and hold these files alone."""
    for name in list(public.objectIds()):
        api.content.delete(public[name])
    public.title = title
    if public.portal_type == "Item":
        public.formatted_title = _rich_text(f"<p>{_escape_html(title)}</p>")
        public.decision = text
    else:
        public.text, public.file = text, document
    for one in files:
        copy = NamedBlobFile(data=one.data, contentType=one.contentType, filename=one.filename)
        api.content.create(container=public, type="File", title=one.filename, file=copy)
    public.reindexObject()
    watch.keep(public, traced=False)  # anybody reads its trace


def _meeting_id(meeting: Any) -> str:
    return f"seance-{meeting.UID()[:12]}"


def _find_item(projet: Any) -> Any:
    public = commune_of(projet).decisions.get(_meeting_id(meeting_of(projet)))
    return None if public is None else public.get(projet.numero.lower())


def _find_publication(projet: Any) -> Any:
    """The publication that was made of it."""
    folder, name = commune_of(projet).publications, projet.numero.lower()
    near = [folder[key] for key in folder.objectIds() if key == name or key.startswith(f"{name}-")]
    return next((one for one in near if watch.is_of(one, projet)), None)


def _public_meeting(commune: Any, meeting: Any) -> Any:
    folder = commune.decisions
    name = _meeting_id(meeting)
    if name in folder.objectIds():
        return folder[name]
    made = api.content.create(
        container=folder,
        type="Meeting",
        id=name,
        title=f"{rules.french_date(meeting.date)} ({meeting.heure})",
        date_time=meeting.moment(),
        meeting_type="council",
        plonemeeting_uid=meeting.UID(),
        plonemeeting_last_modified=datetime.datetime.now(),
    )
    for transition in ("send_to_project", "publish"):
        api.content.transition(made, transition=transition)
    return made


def _rich_text(text: str) -> RichTextValue:
    return RichTextValue(text, "text/html", "text/x-html-safe")


def _plain_text(value: Any) -> str:
    return str(value.output) if value else ""


def _escape_html(text: str) -> str:
    import html

    return html.escape(text, quote=False)


def report(uids: list[str]) -> list[dict[str, Any]]:
    """What became of these acts: when each was published, and taken off; those that were not are left out."""
    found = []
    for uid in uids:
        projet = api.content.get(UID=uid)
        if projet is None or projet.portal_type != "projet":
            continue
        told, off = published(projet), withdrawn(projet)
        if told:
            one = {"uid": uid, "le": told["le"].isoformat(), "mode": told["mode"], "en_ligne": told["en_ligne"]}
            if told["en_ligne"] and (what := chosen(projet)):
                one["annexes"] = len(what["annexes"])  # of all that it has: the whole text counts (R2131-1)
            found.append(one | ({"retire_le": off["le"].isoformat()} if off else {}))
    return found


class Publication(BrowserView):
    """The page where a person chooses what is published of an act, and takes it off."""

    def __call__(self) -> str:
        if not (_CHOOSERS | {"Redacteur"}) & set(api.user.get_roles(obj=self.context)) or not concerns(self.context):
            raise NotFound("publication")
        if self.request.method != "POST":
            return str(self.index())
        if not self.is_chooser():
            raise Unauthorized("Le DGS ou le maire choisit ce qui est publié.")
        done = self._withdraw if self.request.form.get("retirer") else self._choose
        return gestures.answer(self.request, done, f"{self.context.absolute_url()}/@@publication")

    def is_chooser(self) -> bool:
        """Whether this person decides of it."""
        return bool(_CHOOSERS & set(api.user.get_roles(obj=self.context)))

    def may_choose(self) -> bool:
        """Whether it may be chosen now: adopted and not yet public, or taken off."""
        return self.is_chooser() and (api.content.get_state(self.context) == "adopte" or bool(self.withdrawal()))

    def may_withdraw(self) -> bool:
        """Whether it may be taken off."""
        told = published(self.context)
        return self.is_chooser() and bool(told and told["en_ligne"]) and not self.withdrawal()

    def on_paper(self) -> bool:
        """Whether who prepares it says when the préfecture received it."""
        return bool(self.context.suivi == "a_publier") and not self.context.non_transmis

    def publishes_now(self) -> bool:
        """Whether choosing puts on line at once: the act is executory, or becomes so by what the form says."""
        return self.on_paper() or rules.is_executory(self.context.suivi, self.context.non_transmis)

    def gesture(self) -> str:
        """What the button of the form does, in words."""
        if self.publishes_now():
            return "Publier ce qui est choisi"
        return "Noter ce qui sera publié"

    def awaited(self) -> str:
        """When what is chosen goes on line, if it does not at once; "" when it does."""
        return "" if self.publishes_now() else f"Rien n'est encore mis en ligne : {self._when()}."

    def _when(self) -> str:
        said = "la signature" if self.context.non_transmis else "l'accusé de réception de la préfecture"
        return f"la publication se fera dès {said}"

    def reserved(self) -> str:
        """Say why nothing of this council goes on line by itself; "" where lists do."""
        return "" if goes_on_line(self.context) else publicity.NOTHING_ALONE

    def subject(self) -> dict[str, Any]:
        """What the form shows of the subject, with what looks like a name in it."""
        text = subjects.proposed(self.context)
        seen = f"{naming.digest(text)}:{stands(self.context)}"
        return {"texte": text, "vu": seen, "noms": naming.apparent(text)}

    def mode(self) -> str:
        """How the commune publishes: nothing where it is on line."""
        found = mode(self.context)
        return "" if found == choice.ON_LINE else choice.MODES[found]

    def withdrawal(self) -> dict[str, Any] | None:
        """Who took it off, when and why."""
        return withdrawn(self.context)

    def status(self) -> dict[str, str]:
        """Where its publication stands."""
        told, off = published(self.context), self.withdrawal()
        if off:
            said = f"Retiré de la publication le {rules.french_date(off['le'])} par {off['par']} : {off['motif']}"
            if told and choice.too_short(told["le"], off["le"]):
                said += ". Un acte reste publié deux mois au moins (CGCT, R2131-1) : publiez-en une copie occultée."
            return {"tone": "warning", "text": said}
        if self.reserved() and not (told or (chosen(self.context) or {}).get("collectif")):
            return {"tone": "info", "text": f"{self.reserved()}. {publicity.INDIVIDUAL}."}
        if told:
            words = choice.MODES[told["mode"]].lower()
            also = "" if told["en_ligne"] else ", hors ligne"
            return {"tone": "success", "text": f"Publié ({words}{also}) le {rules.french_date(told['le'])}."}
        if chosen(self.context) and self.on_paper():
            text = "Ce qui est publié est choisi, mais sans le jour de réception en préfecture : rien n'est publié"
            return {"tone": "warning", "text": f"{text}. À faire : choisissez de nouveau, en écrivant ce jour."}
        if chosen(self.context):
            return {"tone": "info", "text": f"Ce qui est publié est choisi : {self._when()}."}
        text = "Rien n'est publié tant que le DGS ou le maire n'a pas choisi quoi, et l'acte n'est pas exécutoire"
        return {"tone": "warning", "text": f"{text} (CGCT, L2131-1)."}

    def document(self) -> dict[str, Any]:
        """The act, and what it hides."""
        kept = self.context.document_signe or self.context.document
        field = "document_signe" if self.context.document_signe else "document"
        url = f"{self.context.absolute_url()}/@@download/{field}/{kept.filename}"
        return {"url": url, "nom": kept.filename, **_inspect_file(kept.data)}

    def annexes(self) -> list[dict[str, Any]]:
        """Its annexes, and what they hide."""
        return [
            {"uid": one.UID(), "nom": one.title, "url": f"{one.absolute_url()}/@@download/file"}
            | _inspect_file(one.file.data)
            for one in self.context.annexes()
        ]

    def _choose(self) -> str:
        return self.note(self.request.form)

    def note(self, form: Mapping[str, Any]) -> str:
        """Note what a form chooses; gives what is said of it. Raises ValueError: why nothing is noted, in French."""
        if not self.may_choose():
            raise ValueError("Cet acte est déjà publié. À faire : retirez-le d'abord.")
        seen, _colon, stood = str(form.get("vu") or "").partition(":")
        if stood != stands(self.context):
            raise ValueError(
                "Rien n'est noté : un choix, ou un retrait, est venu depuis que cette page est ouverte. À faire : "
                "relisez-la, puis recommencez."
            )
        held, today = meeting_of(self.context).date, datetime.date.today()
        received = rules.received(str(form.get("recue") or ""), held, today) if self.on_paper() else None
        kept = self.context.document_signe or self.context.document
        annexes = [(one.UID(), one.file.filename or one.title, one.file.data) for one in self.context.annexes()]
        made = choice.read(form, kept.data, annexes, mode(self.context), held, today)
        choose(self.context, made, received, seen, bool(form.get("collectif")))
        return "Délibération publiée." if published(self.context) else f"Choix noté : {self._when()}."

    def _withdraw(self) -> str:
        why = " ".join(str(self.request.form.get("motif") or "").split())[:_MAX_REASON_LENGTH]
        if not self.may_withdraw():
            raise ValueError("Cet acte n'est pas en ligne.")
        if not why:
            raise ValueError("Motif du retrait : écrivez pourquoi.")
        withdraw(self.context, why)
        return "Acte retiré de la publication."


class Together(BrowserView):
    """The page where a person chooses what is published of a whole meeting: each act by its own box, once confirmed."""

    def __call__(self) -> str:
        roles = set(api.user.get_roles(obj=self.context))
        if not (_CHOOSERS | {"Redacteur"}) & roles or api.content.get_state(self.context) != "close":
            raise NotFound("publier")
        if self.request.method != "POST":
            return str(self.index())
        if not _CHOOSERS & roles:
            raise Unauthorized("Le DGS ou le maire choisit ce qui est publié.")
        return gestures.answer(self.request, self._choose, f"{self.context.absolute_url()}/@@publier")

    def _pages(self) -> list[Publication]:
        return [Publication(one, self.request) for one in self.context.projets("adopte", "publie")]

    def rows(self) -> list[dict[str, Any]]:
        """Its acts: those that are still to be chosen with what the form shows of them, and where the others stand."""
        return [
            {
                "uid": page.context.UID(), "numero": page.context.numero,
                "url": f"{page.context.absolute_url()}/@@publication",
                "titre": page.context.title, "status": page.status(), "page": page, "reserve": page.reserved(),
                "choisir": page.may_choose() and not chosen(page.context) and not page.withdrawal(),
            }
            for page in self._pages()
        ]  # fmt: skip # a table

    def mode(self) -> str:
        """How the commune publishes: nothing where it is on line."""
        found = str(getattr(commune_of(self.context), "creatic_publication", "") or choice.ON_LINE)
        return "" if found == choice.ON_LINE else choice.MODES[found]

    def _choose(self) -> str:
        form, done, wrong = self.request.form, [], []
        for page in self._pages():
            uid, number = page.context.UID(), page.context.numero
            if not form.get(f"publier_{uid}"):
                continue
            own = {name: form.get(f"{name}_{uid}") for name in ("objet", "vu", "recue", "collectif")}
            annexes = {key: value for key, value in form.items() if key.startswith("annexe_")}
            before = transaction.savepoint()
            try:
                page.note({**own, **annexes, "document": choice.SIGNED, "publie_le": form.get("publie_le")})
            except ValueError as error:  # one never keeps the others
                before.rollback()
                wrong.append(f"n° {number} : {str(error).removesuffix('.')}")
            else:
                done.append(number)
        said = f"Choix noté pour {len(done)} délibération{'s' * (len(done) > 1)} ({', '.join(done)})" if done else ""
        if wrong:
            raise ValueError(". ".join(filter(None, ["; ".join(wrong), said])))
        return f"{said}." if said else "Aucune case n'est cochée : rien n'est noté."


def _inspect_file(data: bytes) -> dict[str, Any]:
    """What a file hides, and why it cannot be put on line as it is."""
    refused = "" if hidden.is_pdf(data) else "ce n'est pas un PDF, seul format publié (CGCT, R2131-1)"
    try:
        return {"cache": pieces.revealed(data), "refus": refused}
    except hidden.UnfitDocumentError as error:
        return {"cache": [], "refus": str(error)}
