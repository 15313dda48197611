"""What comes into what people publish, and who is told to have done what: beside stand-ins of Plone."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from apps.deliberations.tests import beside_plone, test_pieces

_MORE = (
    "Acquisition", "BTrees", "BTrees.OOBTree", "Products.statusmessages", "Products.statusmessages.interfaces",
    "persistent", "persistent.mapping",
    "plone.app.layout", "plone.app.layout.viewlets", "plone.app.layout.viewlets.common", "plone.app.contentmenu",
    "plone.app.contentmenu.menu", "plone.dexterity", "plone.dexterity.browser", "plone.dexterity.browser.edit",
    "plone.dexterity.browser.view", "plone.dexterity.utils", "plone.uuid", "plone.uuid.interfaces", "plone.z3cform",
    "plone.z3cform.fieldsets", "plone.z3cform.fieldsets.extensible", "z3c", "z3c.form", "z3c.form.error",
    "z3c.form.validator", "zope", "zope.globalrequest", "zope.i18n", "zope.schema", "zope.schema.vocabulary",
)  # fmt: skip # a list of words


class Refusal(Exception):
    """Of Zope, or of a form."""


class _Base:
    """What forms are made of."""

    def __init__(self, context: Any, view: Any, name: str) -> None:
        self.context, self.view, self.widget = context, view, SimpleNamespace(value="")
        self.field = SimpleNamespace(__name__=name)

    def validate(self, value: Any, force: bool = False) -> None:
        """Nothing is wrong by itself."""


_HAVE: dict[str, dict[str, Any]] = {
    "Acquisition": {"aq_base": lambda thing: thing, "aq_parent": lambda thing: thing.parent},
    "BTrees.OOBTree": {"OOBTree": dict},
    "plone.app.contentmenu.menu": {"WorkflowSubMenuItem": _Base},
    "plone.app.layout.viewlets.common": {"ViewletBase": _Base},
    "plone.dexterity.browser.edit": {"DefaultEditForm": _Base},
    "plone.dexterity.browser.view": {"DefaultView": _Base},
    "plone.z3cform.fieldsets.extensible": {"FormExtender": _Base},
    "z3c.form.error": {"ErrorViewSnippet": _Base},
    "z3c.form.validator": {"SimpleFieldValidator": _Base},
    "zope.globalrequest": {"getRequest": lambda: None},
}


def module(patch: pytest.MonkeyPatch, name: str, *beside: str) -> Any:
    return beside_plone.module(patch, name, *beside, more=_MORE, having=_HAVE)


def file(data: bytes, name: str = "arrete.pdf") -> Any:
    return SimpleNamespace(data=data, filename=name, contentType="application/pdf")


def publication(**more: Any) -> Any:
    return SimpleNamespace(portal_type="Publication", title="Arrêté", document_type="arrete", **more)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = module(monkeypatch, "watch")
    for name, value in {"BadRequest": Refusal, "Forbidden": Refusal, "getRequest": lambda: None, "lock": lambda _: None,
                        "_last_snapshot": lambda _: {}, "keep": lambda _: None, "_workflow_state": lambda _: "private",
                        "is_deliberation": lambda one: getattr(one, "voted", False)}.items():  # fmt: skip # a table
        monkeypatch.setattr(found, name, value)
    return found


BAD = [b"MZ\x90\x00" + b"x" * 400, test_pieces.archive("[Content_Types].xml"), test_pieces.with_action(script=True)]


@pytest.mark.parametrize("data", BAD)
def test_a_file_of_what_is_published_by_hand_is_judged_where_it_enters(watch: Any, data: bytes) -> None:
    with pytest.raises(Refusal, match=r"ce fichier n'est pas accepté : .* À faire : "):
        watch._check_changes(publication(file=file(data)), ["file"])
    annex = SimpleNamespace(portal_type="File", title="plan", file=file(data), parent=publication())
    with pytest.raises(Refusal, match="ce fichier n'est pas accepté : "):
        watch._check_changes(annex, ["file"])


def test_what_is_taken_or_not_touched_or_was_voted_is_left_as_it_is(watch: Any) -> None:
    watch._check_changes(publication(file=file(test_pieces.pdf())), ["file"])
    watch._check_changes(publication(file=file(BAD[0])), ["title"])  # of before it was judged
    watch._check_changes(publication(file=None), ["file"])
    annex = SimpleNamespace(portal_type="File", title="plan", file=file(BAD[0]), parent=publication(voted=True))
    watch._check_changes(annex, ["file"])


def test_a_meeting_takes_so_many_items_whatever_way_they_come(watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "refuse", partial(watch.refuse, error=Refusal))
    full = SimpleNamespace(portal_type="seance", title="Conseil municipal", objectIds=lambda: range(300))
    short = SimpleNamespace(portal_type="seance", title="Conseil municipal", objectIds=lambda: range(299))
    item = SimpleNamespace(portal_type="projet", title="Voirie")
    for before, after, taken in ((None, short, True), (full, full, True), (None, full, False), (short, full, False)):
        event = SimpleNamespace(oldParent=before, newParent=after, object=item)
        if taken:  # a name that changes moves nothing
            watch.moving(item, event)
            continue
        with pytest.raises(Refusal, match=r"300 points au plus\. À faire : .*autre séance"):
            watch.moving(item, event)
    annex = SimpleNamespace(portal_type="File", title="Plan")
    watch.moving(annex, SimpleNamespace(oldParent=None, newParent=full, object=annex))


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "Avis\n</p><svg/onload=x>", "<!-- ", "<?php"])
def test_a_description_is_text(watch: Any, text: str) -> None:
    """The portal's page showed it as HTML: it ran in whoever read what is public, of any commune."""
    with pytest.raises(Refusal, match="sans balise"):
        watch._check_changes(publication(description=text, file=None), ["description"])
    watch._check_changes(publication(description=text, file=None), ["title"])  # of before


def test_a_description_says_less_than(watch: Any) -> None:
    watch._check_changes(publication(description="Marchés < 90 000 €, taux <5 %", file=None), ["description"])
    watch._check_changes(publication(description=None, file=None), ["description"])


def test_the_form_that_brings_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    forms = module(monkeypatch, "forms", "content")
    monkeypatch.setattr(forms.content, "Wrong", Refusal)
    here = publication(file=None)
    here.aq_chain = [here]
    folder = SimpleNamespace(portal_type="Folder", aq_chain=[SimpleNamespace(portal_type="Folder")])
    adding = SimpleNamespace(portal_type="Publication")
    for context, view in ((here, SimpleNamespace()), (folder, adding), (folder, SimpleNamespace(parentForm=adding))):
        with pytest.raises(Refusal, match="n'est pas accepté : "):
            forms.Annex(context, view, "file").validate(file(BAD[0], "arrete.exe"))
        forms.Annex(context, view, "file").validate(file(test_pieces.pdf()))
    forms.Annex(folder, SimpleNamespace(portal_type="Institution"), "logo").validate(file(BAD[0]))


def test_who_did_something_is_told_by_the_communes_files_not_by_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = module(monkeypatch, "reading", "places")
    portal = SimpleNamespace()
    reading.known_as(portal, "anne.petit", "Anne Petit")
    assert reading.name_of(portal, "anne.petit") == "Anne Petit"
    # An account that the files do not name, whatever it calls itself.
    assert [reading.name_of(one, "luca.noir") for one in (portal, SimpleNamespace())] == ["luca.noir"] * 2
    pages = module(monkeypatch, "pages", "places", "aftermath", "convening", "watch", "lifecycle", "publishing",
                   "reading", "subjects", "gestures", "accounts", "workflows", "summons", "documents",
                   "written", "proxies")  # fmt: skip # a list of words
    member = MagicMock()
    member.getProperty.return_value = "Zoé Maire"
    pages.api.user.get.return_value = member
    pages.reading.name_of = reading.name_of
    pages.api.portal.get.return_value = portal
    assert pages.Trace._name("anne.petit") == "Anne Petit"


def test_a_request_is_of_the_commune_that_its_path_leads_to(watch: Any) -> None:
    commune = SimpleNamespace(portal_type="Institution", getId=lambda: "loos")
    folder = SimpleNamespace(portal_type="Folder", getId=lambda: "seances")
    user = SimpleNamespace(getId=lambda: "anne.petit")
    asked: dict[str, Any] = {"PARENTS": [folder, commune], "AUTHENTICATED_USER": user}
    watch.know_whose(SimpleNamespace(request=asked))
    assert watch.apart.WHOSE.get() == "loos"
    watch.know_whose(SimpleNamespace(request={**asked, "PARENTS": [folder]}))
    assert watch.apart.WHOSE.get() == "compte anne.petit"


@pytest.mark.parametrize(
    ("approved", "sends", "told"),
    [
        ("anne.petit", "luc.roux", ""),
        ("luc.roux", "anne.petit", "Luc Roux"),
        ("", "anne.petit", ""),
        ("", "luc.roux", "Luc Roux"),  # who may approve does so by sending it
        ("", "", ""),  # the DGS reads it before anybody approved it
        ("of.before", "", ""),  # whom the communes' files do not name yet
    ],
)
def test_no_convocation_leaves_in_the_name_of_a_maire_who_did_not_approve_it(
    monkeypatch: pytest.MonkeyPatch, approved: str, sends: str, told: str
) -> None:
    beside = ("content", "places", "mailing", "reading", "watch", "aftermath", "publishing", "lifecycle")
    convening = module(monkeypatch, "convening", *beside)
    monkeypatch.setattr(convening, "substance", lambda _meeting: "same")
    meeting = MagicMock()
    monkeypatch.setattr(convening, "approval", lambda _meeting: {"par": approved, "empreinte": "same" * bool(approved)})
    convening.api.user.get_roles.return_value = ["Maire"] if sends else ["DGS"]
    convening.api.user.get_current.return_value.getId.return_value = sends or "the.dgs"
    author = convening.author(meeting)

    lifecycle = module(monkeypatch, "lifecycle", *(set(beside) - {"lifecycle"}), "convening", "ballots", "documents")
    lifecycle.convening.author.return_value = author
    lifecycle.commune_of.return_value = SimpleNamespace(title="Loos", creatic_maire="Anne Petit")
    lifecycle.names.return_value = {}
    known = {"anne.petit": "Anne Petit", "luc.roux": "Luc Roux"}
    lifecycle.reading.name_of.side_effect = lambda _portal, login: known.get(login, login)
    lifecycle.meeting_document(meeting, "convocation")
    assert lifecycle.documents.draw.call_args.kwargs["suppleant"] == told
    assert lifecycle.documents.draw.call_args.kwargs["maire"] == "Anne Petit"


@pytest.mark.parametrize(
    ("approved", "asks", "done"),
    [
        ("luc.roux", "anne.petit", True),  # who is there is not kept from acting: it bears their own name again
        ("anne.petit", "luc.roux", False),
        ("luc.roux", "eve.blanc", False),  # another who stands in
        ("", "luc.roux", True),
    ],
)
def test_nobody_stands_in_for_a_maire_who_approves(
    monkeypatch: pytest.MonkeyPatch, approved: str, asks: str, done: bool
) -> None:
    convening = module(monkeypatch, "convening", "places", "mailing", "reading", "watch")
    monkeypatch.setattr(convening, "substance", lambda _meeting: "same")
    known = {"anne.petit": "Anne Petit", "luc.roux": "Luc Roux", "eve.blanc": "Eve Blanc"}
    convening.reading.name_of.side_effect = lambda _portal, login: known[login]
    convening.commune_of.return_value = SimpleNamespace(creatic_maire="Anne Petit")
    convening.api.user.get_current.return_value.getId.return_value = asks
    convening.api.content.get_state.return_value = "en_preparation"
    meeting = SimpleNamespace()
    meeting.aq_base = meeting
    if approved:
        meeting.creatic_approbation = {"par": approved, "le": "", "empreinte": "same"}
    page = SimpleNamespace(context=meeting, request=SimpleNamespace(form={"vu": "same"}))
    if done:
        convening.Approval._approve(page)
    else:
        with pytest.raises(ValueError, match=f"déjà approuvée par {approved}"):
            convening.Approval._approve(page)
    assert convening.approval(meeting)["par"] == (asks if done else approved)


@pytest.mark.parametrize("step", ["revenir", "ajourner", "retirer", "renvoyer", "inscrire"])
def test_a_step_of_an_item_and_one_of_its_meeting_are_not_both_written_of_two_at_once(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    beside = ("content", "places", "reading", "watch", "aftermath", "convening", "ballots", "documents")
    lifecycle = module(monkeypatch, "lifecycle", *beside)
    meeting = SimpleNamespace(_p_changed=False)
    lifecycle.meeting_of.return_value = meeting
    lifecycle.projet_moved(SimpleNamespace(numero=None), SimpleNamespace(transition=SimpleNamespace(id=step)))
    assert meeting._p_changed, "the database sees no conflict: the meeting closes without this item"
