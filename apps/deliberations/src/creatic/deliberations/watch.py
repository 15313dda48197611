"""What was voted or published stays as it was, whatever way somebody takes; every other change leaves a trace.

Each object that counts keeps what was last known of it. Before a request is written, what it touched is compared with
that: forms, the API, WebDAV, restored versions and code that tells nobody all come by there. Removals, moves and
changes of state are refused when they begin. What is fixed, and why, is said by `frozen`; our own steps run in `ours`.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import transaction
from Acquisition import aq_base, aq_parent
from creatic.deliberations import apart, digests, documents, frozen, hidden, pieces, publicity, rules
from creatic.deliberations.frozen import Lock
from plone import api
from plone.dexterity.utils import iterSchemata
from plone.namedfile.file import NamedBlobFile
from plone.uuid.interfaces import IUUID
from Products.statusmessages.interfaces import IStatusMessage
from zExceptions import BadRequest, Forbidden, Redirect
from zope.globalrequest import getRequest
from zope.i18n import translate
from zope.schema.vocabulary import SimpleVocabulary

PUBLIC = ("Meeting", "Item")  # made by us alone
_PREPARED = ("seance", "projet")
_WATCHED_TYPES = (*_PREPARED, "Publication", *PUBLIC)
_FILES = ("File", "Image")
_TRACED = (*_PREPARED, "Publication")
# Fields that are kept under another name, and what is kept beside fields.
_ATTRIBUTES = {"effective": "effective_date", "expires": "expiration_date", "subjects": "subject"}
_ALWAYS = ("id", "title", "__ac_local_roles__")
# What Plone's own pages write on what is public, whether its type has the field or not.
_PUBLISHED = ("description", "effective_date", "expiration_date", "subject", "language", "rights", "creators",
              "contributors", "exclude_from_nav")  # fmt: skip # a list of words
_FIELD_LABELS = {
    "id": "Nom court", "title": "Titre", "description": "Description", "effective_date": "Date de publication",
    "expiration_date": "Date de retrait", "__ac_local_roles__": "Partage", "subject": "Mots-clés", "file": "Fichier",
}  # fmt: skip # a table
_LIST_SEPARATOR = " ; "
_MARKUP_START_PATTERN = re.compile(r"<[A-Za-z/!?]")  # what HTML begins with, and « < 90 000 € » does not
_SHORT_TEXT_LIMIT = 20_000  # signs of a text, whatever those of its meeting weigh
_TRUSTED_CHANGES: contextvars.ContextVar[bool] = contextvars.ContextVar("creatic_ours", default=False)
_ON_THE_WAY = ("planned", "published")  # of a publication that a person makes: a clock publishes what is planned
_KNOWN, _TRACE, _ORIGIN = "creatic_connu", "creatic_trace", "creatic_origine"


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """What is done inside is this package's: nothing is refused."""
    token = _TRUSTED_CHANGES.set(True)
    try:
        yield
    finally:
        _TRUSTED_CHANGES.reset(token)


def is_ours() -> bool:
    """Whether this is inside `ours`."""
    return _TRUSTED_CHANGES.get()


# -- what is known of an object


def _field_text(value: Any) -> str:
    """A field's value as text: itself when it is plain, a digest of what is long or a file."""
    if value is None or value in ("", [], (), {}):
        return ""
    if hasattr(value, "open") and hasattr(value, "filename"):
        return f"{value.filename}, {value.contentType}, {digests.of(value)}"
    if hasattr(value, "raw"):
        return f"{value.mimeType}, {hashlib.sha256(value.raw.encode()).hexdigest()}, {len(value.raw)} signes"
    if hasattr(value, "to_id"):
        return str(value.to_id)
    if isinstance(value, list | tuple | set | frozenset):
        return _LIST_SEPARATOR.join(_field_text(one) for one in value)
    if isinstance(value, dict):
        return " ; ".join(f"{name} : {_field_text(value[name])}" for name in sorted(value))
    return str(value)


def file_of(thing: Any) -> str:
    """What stands for the file of an annex."""
    return _last_snapshot(thing).get("file") or _field_text(getattr(aq_base(thing), "file", None))


def _watched_fields(thing: Any) -> dict[str, str]:
    """Labels of what is watched of an object, by attribute."""
    names = _ALWAYS if thing.portal_type in _PREPARED else (*_ALWAYS, *_PUBLISHED)
    found = {name: _FIELD_LABELS.get(name, name) for name in names}
    for schema in iterSchemata(thing):
        for name in schema.names():
            attribute = _ATTRIBUTES.get(name, name)
            title = getattr(schema[name], "title", "")
            found[attribute] = _FIELD_LABELS.get(attribute) or translate(title, target_language="fr") or name
    return found


def _choice_labels(thing: Any) -> dict[str, dict[str, str]]:
    """What people call the values that are chosen from a list, by attribute: no word of programs reaches them."""
    found = {"suivi": rules.STEP_LABELS}
    for schema in iterSchemata(thing):
        for name in schema.names():
            field = schema[name].bind(thing)
            vocabulary = getattr(getattr(field, "value_type", None) or field, "vocabulary", None)
            if isinstance(vocabulary, SimpleVocabulary):
                found[_ATTRIBUTES.get(name, name)] = {
                    str(term.value): translate(term.title or term.token, target_language="fr") for term in vocabulary
                }
    return found


def _value_label(words: dict[str, str], value: str) -> str:
    """A value as people call it."""
    return _LIST_SEPARATOR.join(words.get(one, one) for one in value.split(_LIST_SEPARATOR))


def _last_snapshot(thing: Any) -> dict[str, str]:
    """What was last kept of an object; nothing for a new one, or for a copy, which is not what it was made of."""
    found: dict[str, str] = getattr(aq_base(thing), _KNOWN, None) or {}
    return found if found.get(frozen.UID) == str(IUUID(thing, "")) else {}


def known(thing: Any) -> dict[str, str]:
    """What was last kept of an object: each of its fields as text."""
    return dict(_last_snapshot(thing))


def _workflow_state(thing: Any) -> str:
    tool = api.portal.get_tool("portal_workflow")
    return str(tool.getInfoFor(thing, "review_state", ""))


def _take_snapshot(thing: Any) -> dict[str, str]:
    base = aq_base(thing)
    found = {name: _field_text(getattr(base, name, None)) for name in _watched_fields(thing)}
    state = _workflow_state(thing)
    was_public = _last_snapshot(thing).get(frozen.WAS_PUBLIC) or "oui" * (state in frozen.PUBLIC)
    return found | {frozen.UID: str(IUUID(thing, "")), frozen.STATE: state, frozen.WAS_PUBLIC: was_public}


def keep(thing: Any, traced: bool = True) -> None:
    """Know an object as it is now, and trace what changed, unless its trace must not repeat what is taken off."""
    before, now = _last_snapshot(thing), _take_snapshot(thing)
    if before == now:
        return
    if before and traced and thing.portal_type in _TRACED:
        labels, words = _watched_fields(thing), _choice_labels(thing)
        for name in frozen.differences(before, now):
            said = [_value_label(words.get(name, {}), one.get(name, "")) for one in (before, now)]
            note(thing, frozen.described(labels.get(name, name), *said))
    setattr(aq_base(thing), _KNOWN, now)


def keep_all(portal: Any) -> None:
    """Know what was there before anything was watched."""
    found = portal.portal_catalog.unrestrictedSearchResults
    for projet in map(_object_of, found(portal_type="projet", review_state="publie")):
        name, commune = projet.numero.lower(), aq_parent(aq_parent(aq_parent(projet)))
        named = commune.publications.get(name)
        # An act that is only posted up has none: what bears its name then is somebody's own.
        if getattr(named, "document_type", "") == frozen.DELIBERATION and not is_deliberation(named):
            mark(named, projet)
    for thing in map(_object_of, found(portal_type=[*_WATCHED_TYPES, *_FILES])):
        if thing.portal_type not in _FILES or aq_parent(thing).portal_type in _WATCHED_TYPES:
            known = _last_snapshot(thing)
            if known:  # fields that came with a new version are no change of this object
                setattr(aq_base(thing), _KNOWN, _take_snapshot(thing) | known)
            keep(thing)


def mark(publication: Any, projet: Any) -> None:
    """Say which projet a publication is made of; a copy of it does not say so."""
    setattr(aq_base(publication), _ORIGIN, (IUUID(publication), IUUID(projet)))


def is_of(publication: Any, projet: Any) -> bool:
    """Whether a publication was made of this projet."""
    return is_deliberation(publication) and origin(publication) == IUUID(projet)


def origin(publication: Any) -> str:
    """UID of the projet that a délibération on line was made of (`is_deliberation`)."""
    return str(getattr(aq_base(publication), _ORIGIN)[1])


def is_deliberation(publication: Any) -> bool:
    """Whether it was made of a projet that was voted."""
    origin = getattr(aq_base(publication), _ORIGIN, None)
    return origin is not None and bool(origin[0] == IUUID(publication, None))


# -- what does not change


def lock(thing: Any) -> Lock | None:
    """Why an object does not change, if it does not."""
    kind = getattr(aq_base(thing), "portal_type", "")
    if kind == "projet":
        return frozen.of_projet(_last_snapshot(thing), _last_snapshot(aq_parent(thing)))
    if kind == "seance":
        return frozen.of_meeting(_last_snapshot(thing), [_last_snapshot(one) for one in thing.projets()])
    if kind == "Publication":
        return frozen.of_publication(_last_snapshot(thing), is_deliberation(thing))
    if kind in PUBLIC:
        return Lock("ce qui est publié vient de la passerelle, et ne change plus")
    parent = aq_parent(thing)
    if kind in _FILES and getattr(aq_base(parent), "portal_type", "") in _WATCHED_TYPES:
        found = lock(parent)
        return Lock(found.reason) if found else None
    return None


def refuse(thing: Any, why: str, name: str = "", error: type[Exception] = Forbidden) -> NoReturn:
    """Say why nothing is written of something, by its name: on the page where somebody was, or to the program that
    asked."""
    said = f"« {name or _last_snapshot(thing).get('title') or thing.title or thing.getId()} » : {why}."
    request = getRequest()
    if request is None or not _is_browser(request):
        raise error(said)
    messages = IStatusMessage(request)
    request.response.setStatus(200)
    messages.show()  # a form has said that all went well, and leads on: forgotten
    messages.add(said, type="error")
    site, page = api.portal.get().absolute_url(), request.get("HTTP_REFERER", "")
    inside = page == site or page.startswith(f"{site}/")
    again = request.method == "GET" and page.partition("?")[0] == request.get("ACTUAL_URL")
    raise Redirect(page if inside and not again else site)


def undo(thing: Any, why: str) -> NoReturn:
    """Refuse what has begun, whole: some of Plone's pages go on after a refusal, and would write the half of it."""
    transaction.doom()
    refuse(thing, why)


def _is_browser(request: Any) -> bool:
    """Whether a page is what is waited for."""
    asked = request.environ
    shown = "text/html" in asked.get("HTTP_ACCEPT", "") and "HTTP_X_REQUESTED_WITH" not in asked
    return shown and request.method in ("GET", "POST")


def moving(thing: Any, event: Any) -> None:
    """Nothing leaves, or comes into, what is fixed (removal, move, new name, copy, addition)."""
    if _TRUSTED_CHANGES.get():
        return
    if event.oldParent is not None:
        found = lock(thing)
        if found:
            refuse(thing, found.reason)
    if event.newParent is None or aq_base(thing) is not aq_base(event.object):
        return
    kind = getattr(aq_base(thing), "portal_type", "")
    if kind in PUBLIC:
        refuse(thing, "les décisions publiques viennent de la passerelle, après le vote")
    parent = event.newParent
    comes = kind == "projet" and aq_base(parent) is not aq_base(event.oldParent)
    if comes and (full := rules.no_more_items(len(parent.objectIds()))):
        refuse(parent, full)
    if getattr(aq_base(parent), "portal_type", "") in _WATCHED_TYPES:
        found = lock(parent)
        if found:
            refuse(parent, found.reason)


def changing_state(thing: Any, event: Any) -> None:
    """What we published stays public, with what it is in; a link changes no state."""
    if _TRUSTED_CHANGES.get() or event.transition is None:
        return
    kind = getattr(aq_base(thing), "portal_type", "")
    request = getRequest()
    # What this server does by itself has a request too, which publishes nothing.
    linked = request is not None and request.method in ("GET", "HEAD") and "PUBLISHED" in request
    if linked and kind in (*_WATCHED_TYPES, "Folder", "Institution"):
        raise Forbidden("Un lien ne change aucun état : utilisez les boutons de la page.")
    if kind == "Meeting" or (kind == "Publication" and is_deliberation(thing)):
        found = lock(thing)
        refuse(thing, found.reason if found else "")
    if kind in ("Folder", "Institution") and event.new_state.id != "published" and _shows_acts(thing):
        refuse(thing, "des actes publiés s'y trouvent : ils restent en ligne")
    if kind == "Publication" and event.new_state.id in _ON_THE_WAY:
        if said := publicity.by_hand(publicity.of(thing.aq_chain), thing.document_type, event.new_state.id):
            refuse(thing, said)
        if not _last_snapshot(thing).get(frozen.WAS_PUBLIC):
            _clean_files(thing)


def _clean_files(publication: Any) -> None:
    """Take out of the files of an act that a person publishes what they say without showing it (CRPA, L312-1-2).

    What cannot be taken out keeps it off line: a signature would be broken, a file is no PDF.
    """
    for one in (publication, *publication.objectValues()):
        kept = getattr(aq_base(one), "image" if one.portal_type == "Image" else "file", None)
        if kept is None:
            continue
        name = kept.filename or one.title
        try:
            clean = pieces.for_everybody(kept.data)
        except hidden.UnfitDocumentError as error:
            refuse(publication, f"« {name} » ne se met pas en ligne : {error}")
        if clean != kept.data:  # of a PDF alone
            one.file = NamedBlobFile(data=clean, contentType=kept.contentType, filename=kept.filename)
            note(publication, f"Ce que « {name} » disait sans le montrer est retiré")
            keep(one)


def _shows_acts(folder: Any) -> bool:
    brains = api.portal.get_tool("portal_catalog").unrestrictedSearchResults(
        portal_type=["Publication", "Meeting"], path="/".join(folder.getPhysicalPath())
    )
    return any(
        _last_snapshot(thing).get(frozen.WAS_PUBLIC) or thing.portal_type == "Meeting"
        for thing in map(_object_of, brains)
    )


def _object_of(brain: Any) -> Any:
    return brain._unrestrictedGetObject()


# -- before a request is written


def know_whose(event: Any) -> None:
    """Say which commune a request is of, before it runs: files that are read for it take that commune's turn (`apart`).

    Whose path leads to none is told by its account.
    """
    parents = event.request.get("PARENTS") or ()
    communes = (one.getId() for one in parents if getattr(aq_base(one), "portal_type", "") == "Institution")
    user = event.request.get("AUTHENTICATED_USER")
    apart.WHOSE.set(next(communes, "") or f"compte {user.getId() if user is not None else ''}")


def check(event: Any) -> None:
    """Refuse what a request changed of what is fixed; know and trace the rest."""
    connection = getattr(event.request["PARENTS"][-1], "_p_jar", None)
    if connection is None or connection.isReadOnly():
        return
    for base in written(connection):
        if getattr(base, "portal_type", "") not in (*_WATCHED_TYPES, *_FILES):
            continue
        now = _take_snapshot(base)
        if _last_snapshot(base) == now:
            continue
        thing = _object_in_place(base)
        if thing is not None:
            _check_changes(thing, frozen.differences(_last_snapshot(thing), now))


def written(connection: Any) -> list[Any]:
    """Objects that the connection is about to write, with those that a savepoint has put aside."""
    found = list(connection._registered_objects)
    aside = connection._savepoint_storage
    if aside is not None:
        found += [connection.get(oid) for oid in list(aside.index)]
    return list({id(one): one for one in found}.values())


def _object_in_place(base: Any) -> Any:
    """An object in its place; None when it is nowhere any more.

    What is made and named in one request is at times found twice: under its name, and under the one that it had first,
    where nothing is any more.

    Raises:
        KeyError: it is found there alone.
    """
    tool = api.portal.get_tool("portal_catalog")
    left = None
    for brain in tool.unrestrictedSearchResults(UID=IUUID(base, None) or "-"):
        try:
            thing = _object_of(brain)
        except KeyError as error:
            left = error
            continue
        if aq_base(thing) is base:
            return thing
    if left:
        raise left
    return None


def _check_changes(thing: Any, changed: list[str]) -> None:
    kind = thing.portal_type
    if kind in _FILES:
        holder = getattr(aq_base(aq_parent(thing)), "portal_type", "")
        if holder not in _WATCHED_TYPES:
            return
        if _is_brought_to(aq_parent(thing)) and {"file", "image"} & {*changed}:
            _check_annex(thing)
    if (
        kind == "Publication"
        and "description" in changed
        and _MARKUP_START_PATTERN.search(str(thing.description or ""))
    ):
        refuse(
            thing, "Description : c'est du texte, sans balise. À faire : enlevez ce qui suit un « < »", error=BadRequest
        )
    if kind == "Publication" and not is_deliberation(thing):
        if "file" in changed and getattr(aq_base(thing), "file", None) is not None:
            _check_annex(thing)
        withdrawn = _last_snapshot(thing) and not changed and _workflow_state(thing) in ("private", "unpublished")
        if thing.document_type == frozen.DELIBERATION and not withdrawn:
            refuse(thing, "une délibération est publiée par la passerelle, après son vote. À faire : un autre type")
        replaced = getattr(getattr(aq_base(thing), "supersede", None), "to_object", None)
        if replaced is not None and is_deliberation(replaced):
            refuse(thing, "elle ne remplace pas une délibération : une délibération est abrogée par un vote")
    found = lock(thing) if _last_snapshot(thing) else None
    refused = found.refused(changed) if found else []
    if found and refused:
        labels = _watched_fields(thing)
        refuse(thing, f"{found.reason} ({', '.join(labels.get(name, name) for name in refused)})")
    if kind == "projet":
        _judge_texts(thing, changed)
        if frozen.BUDGET in changed and (wrong := thing.budget_problems(frozen.is_decided(_last_snapshot(thing)))):
            refuse(thing, " ; ".join(wrong), error=BadRequest)
    if kind == "projet" and (same := frozen.kept_subject(_last_snapshot(thing), changed)):
        refuse(thing, same)
    keep(thing)


def _is_brought_to(holder: Any) -> bool:
    """Whether people bring files there: what is made of a vote holds those that were judged with it."""
    return holder.portal_type in _PREPARED or (holder.portal_type == "Publication" and not is_deliberation(holder))


def _check_annex(annex: Any) -> None:
    """Refuse a file that nobody downstream takes (`pieces`), whatever way it came; its type is the content's."""
    base = aq_base(annex)
    held: Any = getattr(base, "image" if annex.portal_type == "Image" else "file", None)
    name = str(getattr(held, "filename", "") or annex.title or annex.getId())
    data = held.data if held is not None else b""
    if said := pieces.problem(name, data):
        refuse(annex, f"ce fichier n'est pas accepté : {said}", name, BadRequest)
    if held.contentType != pieces.content_type(data):
        held.contentType = pieces.content_type(data)


def _text_length(kept: str) -> int:
    """How long a text was, as `_text` says it."""
    said = re.search(r", (\d+) signes$", kept)
    return int(said[1]) if said else 0


def _judge_texts(projet: Any, changed: list[str]) -> None:
    """Refuse a text that is longer than what is drawn, alone or with those of its meeting, whatever way it came."""
    labels = _watched_fields(projet)
    for name in {"expose", "dispositif"} & {*changed}:
        held = getattr(aq_base(projet), name, None)
        if held is None:
            continue
        said = documents.problem(held.raw)
        # What is short, or shorter than it was, is taken: a text may always be made so.
        if (
            not said
            and len(held.raw) > _SHORT_TEXT_LIMIT
            and not len(held.raw) < _text_length(_last_snapshot(projet).get(name, ""))
        ):
            said = documents.whole_problem(documents.texts_of(aq_parent(projet).projets()))
        if said:
            refuse(projet, f"{labels.get(name, name)} : {said}", error=BadRequest)


# -- the trace


@dataclass(frozen=True)
class Entry:
    """What happened, when, by whom."""

    when: datetime.datetime
    who: str
    what: str


def note(thing: Any, what: str) -> None:
    """Add to an object's trace."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    who = "" if api.user.is_anonymous() else str(api.user.get_current().getId())
    base = aq_base(thing)
    setattr(base, _TRACE, (*getattr(base, _TRACE, ()), (now, who, what[:1000])))


def trace(thing: Any) -> list[Entry]:
    """What happened to an object, oldest first: its changes of state and of content."""
    tool = api.portal.get_tool("portal_workflow")
    found = [
        Entry(datetime.datetime.fromisoformat(when), who, what)
        for when, who, what in getattr(aq_base(thing), _TRACE, ())
    ]
    for name, steps in (getattr(aq_base(thing), "workflow_history", None) or {}).items():
        workflow = tool.getWorkflowById(name)
        for step in steps:
            transition = workflow.transitions.get(step["action"]) if workflow and step.get("action") else None
            what = _STEPS.get(step.get("action") or "", transition.title if transition else "")
            comment = f" ({step['comments']})" if step.get("comments") else ""
            moment = step["time"].asdatetime().astimezone(datetime.UTC)
            found.append(Entry(moment, str(step.get("actor") or ""), f"{what or 'Ajout'}{comment}"))
    return sorted(found, key=lambda one: one.when)


# The portal's own steps, as people here call them.
_STEPS = {
    "publish": "Publication",
    "unpublish": "Retrait",
    "archive": "Archivage",
    "propose": "Proposition",
    "plan": "Publication prévue",
    "back_to_private": "Retour en brouillon",
    "back_to_proposed": "Retour à proposer",
}
MADE_PUBLIC = (_STEPS["publish"],)
