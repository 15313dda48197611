"""Convocations sent by mail: what leaves is kept as it was, the passerelle hands it to its relay, and says what became.

This site reaches no network: the passerelle asks what is to leave (`to_send`), and tells what the relay said of each
(`told`). What to write to whom is in `mailing`.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from creatic.deliberations import digests, frozen, gestures, mailing, reading, rules, watch, written
from creatic.deliberations.convocation import (
    APPROVED,
    HEAD,
    approval,
    current,
    for_diaries,
    letter,
    mails,
    problems,
    receipts,
    sendings,
    substance,
)
from creatic.deliberations.mailing import ACCEPTED, HANDED, PAPER, REFUSED, UNSURE
from creatic.deliberations.places import ON_AGENDA, commune_of
from plone import api
from plone.namedfile.file import NamedBlobFile
from plone.namedfile.utils import set_headers, stream_data
from Products.Five.browser import BrowserView
from transaction.interfaces import TransientError
from zExceptions import NotFound, Unauthorized

_CONVENING_TIMEZONE = ZoneInfo("Europe/Paris")
_MANAGERS = {"DGS", "Maire"}
_MAX_DETAIL_LENGTH = 300
_MAX_DRAWN_BYTES = 500_000  # bytes, or so, of a convocation and its note that are not drawn yet
_SLOW = datetime.timedelta(hours=1)  # after which what the relay did not take is told
_SENDING_ATTRIBUTE = "creatic_a_envoyer"
_ALL_PAPER = "*"
log = logging.getLogger("creatic.deliberations")


# -- addresses


def addresses(commune: Any) -> dict[str, str]:
    """Where each élu of a commune wants to be written to; on paper, who said nothing."""
    known: dict[str, str] = getattr(commune.aq_base, "creatic_adresses", None) or {}
    return {name: known.get(name, PAPER) for name in getattr(commune, "creatic_elus", ())}


class Addresses(BrowserView):
    """The page where the DGS keeps the addresses of the élus."""

    def __call__(self) -> str:
        if not _MANAGERS & set(api.user.get_roles(obj=self.context)):
            raise Unauthorized("Le DGS ou le maire tient les adresses des élus.")
        if self.request.method != "POST":
            return str(self.index())
        commune = commune_of(self.context)
        try:
            found = mailing.read_addresses(str(self.request.form.get("adresses") or ""), list(commune.creatic_elus))
        except ValueError as error:
            api.portal.show_message(f"Rien n'est changé : {error}", self.request, type="error")
            return str(self.index())
        commune.creatic_adresses = found
        count = sum(one != PAPER for one in addresses(commune).values())
        said = f"Adresses notées : {count} par courriel, {len(addresses(commune)) - count} sur papier."
        api.portal.show_message(said, self.request)
        self.request.response.redirect(self.context.absolute_url())
        return ""

    def lines(self) -> str:
        """What the form holds: what was sent, or what is known."""
        sent = self.request.form.get("adresses")
        known = addresses(commune_of(self.context))
        return str(sent) if sent else "\n".join(f"{name} : {value}" for name, value in known.items())


# -- what leaves


# -- the approval of who convenes


def approve(meeting: Any) -> None:
    """Note that who is logged in approves the convocation as it is."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    who = str(api.user.get_current().getId())
    setattr(meeting, APPROVED, {"par": who, "le": now, "empreinte": substance(meeting)})
    watch.note(meeting, "Convocation approuvée")


def author(meeting: Any) -> str:
    """Login of who convenes: who approved the convocation as it is, or who is about to send it; "" for nobody yet."""
    kept = approval(meeting)
    if kept.get("empreinte") == substance(meeting):
        return str(kept["par"])
    return str(api.user.get_current().getId()) if HEAD in api.user.get_roles(obj=meeting) else ""


def takes_up(meeting: Any) -> bool:
    """Whether another approved it in the place of who is logged in: a maire who is there convenes in their own name."""
    login = str(api.user.get_current().getId())
    named = reading.name_of(api.portal.get(), login) == getattr(commune_of(meeting), "creatic_maire", "")
    return named and approval(meeting).get("par") != login


def disapprove(meeting: Any) -> None:
    """What leaves next is approved anew."""
    setattr(meeting, APPROVED, None)


class Approval(BrowserView):
    """The gesture of the head of the council: this convocation leaves in their name (L2121-10)."""

    def __call__(self) -> str:
        if self.request.method != "POST":
            raise NotFound("approuver")
        if HEAD not in api.user.get_roles(obj=self.context):
            raise Unauthorized("Qui préside le conseil approuve la convocation.")
        return gestures.answer(self.request, self._approve, self.context.absolute_url())

    def _approve(self) -> str:
        if api.content.get_state(self.context) != "en_preparation":
            raise ValueError("La convocation est déjà partie.")
        if self.request.form.get("vu") != substance(self.context):
            raise ValueError(
                "La convocation a changé depuis que cette page la montrait : relisez-la, puis approuvez-la."
            )
        if approval(self.context).get("empreinte") == substance(self.context) and not takes_up(self.context):
            raise ValueError(f"La convocation est déjà approuvée par {approval(self.context)['par']}.")
        approve(self.context)
        return "Convocation approuvée : elle peut partir."


def heavy_annexes(meeting: Any) -> str:
    """Say which annexes would not go with the mail, before it leaves; "" for none."""
    return mailing.heavy(_select_annexes(meeting, mailing.ATTACHED_MAX - _MAX_DRAWN_BYTES)[1])


def _select_annexes(meeting: Any, room: int) -> tuple[list[Any], dict[str, int]]:
    """Annexes that go with the mail, and names and sizes of those that do not."""
    annexes = [annex for one in meeting.projets(*ON_AGENDA) for annex in one.annexes() if annex.file]
    sizes = [annex.file.getSize() for annex in annexes]
    kept = mailing.fitting(sizes, room)
    left = {annexes[rank].title: size for rank, size in enumerate(sizes) if rank not in kept}
    return [annexes[rank] for rank in kept], left


def _describe_piece(file: NamedBlobFile, name: str) -> dict[str, Any]:
    return {"nom": name, "fichier": file, "sha256": digests.of(file), "octets": file.getSize()}


def prepare(meeting: Any) -> None:
    """Keep what a convocation that was just drawn sends, and to whom; on paper to all, when it left by other means."""
    forget(meeting)
    if approval(meeting).get("empreinte") != substance(meeting):  # whose name it bears sends it
        approve(meeting)
    if meeting.envoyee_le:
        meeting.creatic_courriers = (*mails(meeting), current(meeting))
        return
    _when, convocation, note = meeting.dispatches()[-1]
    known = addresses(commune_of(meeting))
    to = {name: known.get(name, PAPER) for name in meeting.convoques}
    pieces = [_describe_piece(convocation, "convocation.pdf"), _describe_piece(note, "note-de-synthese.pdf")]
    weight, alone = sum(one["octets"] for one in pieces), 0
    if weight > mailing.PAPERS_MAX:
        alone = pieces.pop()["octets"]
    annexes, left = _select_annexes(meeting, mailing.ATTACHED_MAX - weight)
    if any(value != PAPER for value in to.values()):
        dated = NamedBlobFile(data=for_diaries(meeting), contentType="text/calendar", filename=mailing.DIARY)
        pieces.append(_describe_piece(dated, mailing.DIARY))
        for rank, annex in enumerate(annexes, 1):
            # Its own copy: what was sent stays what it was.
            copy = NamedBlobFile(
                data=annex.file.data, contentType=annex.file.contentType, filename=annex.file.filename or annex.title
            )
            pieces.append(_describe_piece(copy, f"annexe-{rank}-{copy.filename}"))
    version = len(meeting.dispatches())
    subject = f"Convocation : {meeting.label()}" + (f" (version {version})" if version > 1 else "")
    subjects = [one.title for one in meeting.projets(*ON_AGENDA)]
    large = meeting.asks_note()
    space = reading.space(commune_of(meeting))
    text = mailing.text(meeting.label(), meeting.lieu, meeting.heure, subjects, left, version, large, space, alone)
    kept = letter(meeting, to, text, pieces, left, alone) | {"objet": " ".join(subject.split())}
    meeting.creatic_courriers = (*mails(meeting), kept)
    if any(value != PAPER for value in to.values()):
        folder = meeting.aq_parent
        setattr(folder, _SENDING_ATTRIBUTE, (*getattr(folder.aq_base, _SENDING_ATTRIBUTE, ()), meeting.UID()))


def unsent(meeting: Any, mail: Mapping[str, Any]) -> str:
    """Say that a convocation left without the note and the projets; "" when it did not."""
    return mailing.unsent(mail.get("sans_note", 0), meeting.asks_note())


def _end_sending(meeting: Any) -> None:
    """Nothing of it is waited for any more, once each mail was taken, or handed over on paper."""
    mail = mails(meeting)[-1]
    known = [receipts(meeting).get((mail["version"], name), {}) for name, to in mail["a"].items() if to != PAPER]
    if all(one.get("etat") in (ACCEPTED, HANDED) for one in known):
        forget(meeting)


def forget(meeting: Any) -> None:
    """Nothing of it is to leave any more."""
    folder = meeting.aq_parent
    waiting = getattr(folder.aq_base, _SENDING_ATTRIBUTE, ())
    if meeting.UID() in waiting:
        setattr(folder, _SENDING_ATTRIBUTE, tuple(uid for uid in waiting if uid != meeting.UID()))


def _record_receipt(meeting: Any, version: int, name: str, **receipt: Any) -> None:
    meeting.creatic_recus = receipts(meeting) | {(version, name): receipt}


def _unsent_members(meeting: Any, mail: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who is still to be written to by mail."""
    found = []
    for name, address in mail["a"].items():
        known = receipts(meeting).get((mail["version"], name), {})
        if address != PAPER and not known.get("etat"):
            found.append({"elu": name, "adresse": address, "essai": int(known.get("essai", 1))})
    return found


def folders() -> Iterator[Any]:
    """Where each commune prepares its meetings."""
    for commune in api.portal.get().objectValues():
        if getattr(commune, "portal_type", "") == "Institution":
            folder = commune.get("seances")
            if folder is not None:
                yield folder


def _pending_meetings(folder: Any) -> Iterator[Any]:
    for uid in getattr(folder.aq_base, _SENDING_ATTRIBUTE, ()):
        meeting = api.content.get(UID=uid)
        if meeting is not None and meeting.portal_type == "seance" and api.content.get_state(meeting) == "convoquee":
            yield meeting


def to_send(url: str) -> list[dict[str, Any]]:
    """What is to leave now: never of a meeting whose hour has passed."""
    now = datetime.datetime.now(_CONVENING_TIMEZONE)
    return [one for one in _of_each(lambda meeting: _next_mail(meeting, url, now)) if one]


def _of_each[T](told: Callable[[Any], T]) -> Iterator[T]:
    """What is told of each meeting whose convocation is to leave; one of which it cannot be never keeps the others."""
    for meeting in [one for folder in folders() for one in _pending_meetings(folder)]:
        try:
            yield told(meeting)
        except TransientError:  # of two at once: Zope does it again
            raise
        except Exception:
            log.exception("Convocation laissée : %s", meeting.absolute_url())


def _next_mail(meeting: Any, url: str, now: datetime.datetime) -> dict[str, Any] | None:
    mail, until = mails(meeting)[-1], meeting.moment().replace(tzinfo=_CONVENING_TIMEZONE)
    left = _unsent_members(meeting, mail)
    if not left or until <= now:
        return None
    asked = f"{url}/@@convocation-piece?uid={meeting.UID()}&version={mail['version']}&rang="
    return {
        "uid": meeting.UID(), "version": mail["version"], "commune": commune_of(meeting).getId(),
        "objet": mail["objet"], "texte": mail["texte"], "limite": until.isoformat(), "destinataires": left,
        "pieces": [
            {"url": f"{asked}{rank}"} | {key: one[key] for key in ("nom", "sha256", "octets")}
            for rank, one in enumerate(mail["pieces"])
        ],
    }  # fmt: skip # a table


def hear_receipts(meeting: Any, version: int, said: list[Mapping[str, Any]]) -> int:
    """Note what the relay said of each; gives how many were news. Raises ValueError, KeyError for what is none."""
    [mail] = [one for one in mails(meeting) if one["version"] == version]
    news = 0
    for one in said:
        name, state, rank = str(one["elu"]), str(one["etat"]), int(one["essai"])
        if state not in mailing.TOLD_BY_RELAY or name not in mail["a"]:
            raise ValueError(f"« {state} » de « {name} »")
        moment = datetime.datetime.fromisoformat(str(one["le"])).astimezone(datetime.UTC)
        known = receipts(meeting).get((version, name), {})
        if known.get("etat") or rank != int(known.get("essai", 1)):
            continue  # told again, or of a try that somebody gave up
        detail = " ".join(str(one.get("detail") or "").split())[:_MAX_DETAIL_LENGTH]
        _record_receipt(
            meeting, version, name, etat=state, le=moment.isoformat(timespec="seconds"), detail=detail, essai=rank
        )
        watch.note(meeting, f"Convocation, version {version}, {name} : {mailing.STATES[state]}")
        news += 1
    if version == mails(meeting)[-1]["version"]:
        _end_sending(meeting)
    return news


def figures(now: datetime.datetime) -> dict[str, int]:
    """How many convocations wait for the relay for too long, and how many for a person."""
    found = [*_of_each(lambda meeting: _late_counts(meeting, now))]
    return {
        "convocation_en_attente": sum(waiting for waiting, _again in found),
        "convocation_a_revoir": sum(again for _waiting, again in found),
    }


def _late_counts(meeting: Any, now: datetime.datetime) -> tuple[int, int]:
    mail = mails(meeting)[-1]
    slow = now - datetime.datetime.fromisoformat(mail["le"]) > _SLOW
    return len(_unsent_members(meeting, mail)) if slow else 0, sum(one.to_review for one in sendings(meeting))


# -- pages


def is_logged(meeting: Any) -> bool:
    """Whether there is something to say of what was sent of a meeting, or opened."""
    return bool(mails(meeting) or current(meeting) or reading.opened(meeting))


def _format_moment(when: str) -> str:
    return datetime.datetime.fromisoformat(when).astimezone(_CONVENING_TIMEZONE).strftime("%d/%m/%Y à %H:%M")


class Piece(BrowserView):
    """A piece of a mail, for the passerelle: ?uid=…&version=1&rang=0."""

    def __call__(self) -> Any:
        form = self.request.form
        with api.env.adopt_roles(["Manager"]):
            meeting = api.content.get(UID=str(form.get("uid") or "-"))
        numbers = [str(form.get(key) or "") for key in ("version", "rang")]
        if meeting is None or meeting.portal_type != "seance" or not all(one.isdecimal() for one in numbers):
            raise NotFound("Cette pièce n'existe pas.")
        version, rank = (int(one[:6]) for one in numbers)
        pieces = [one for mail in mails(meeting) if mail["version"] == version for one in mail["pieces"]]
        if rank >= len(pieces):
            raise NotFound("Cette pièce n'existe pas.")
        file = pieces[rank]["fichier"]
        set_headers(file, self.request.response)
        return stream_data(file)


def journal(meeting: Any) -> dict[str, Any]:
    """What proves that a council was convened (L2121-10): what left, to whom, what became of it, who opened it."""
    return {
        "courriels": [
            {key: mail[key] for key in ("version", "le", "a", "objet", "texte", "laissees")}
            | {"sans_note": mail.get("sans_note", 0), "approbation": mail.get("approbation", {})}
            | {"pieces": [{key: one[key] for key in ("nom", "sha256", "octets")} for one in mail["pieces"]]}
            for mail in mails(meeting)
        ],
        "recus": [{"version": version, "elu": name, **one} for (version, name), one in receipts(meeting).items()],
        "ouvertures": [
            {"version": one.version, "elu": one.name, "quoi": one.what, "le": one.when}
            for one in reading.opened(meeting)
        ],
        "reponses": [
            {"elu": name, "reponse": what, "le": when} for name, (what, when) in written.answers(meeting).items()
        ],
        "pouvoirs": [
            {"elu": giver, "porteur": one.holder, "le": one.when, "maladie": one.ill, "revoque_le": one.revoked}
            for giver, one in written.written(meeting).items()
        ],
    }


class Journal(BrowserView):
    """The same, for what a commune takes away of this site."""

    def __call__(self) -> str:
        if not is_logged(self.context):
            raise NotFound("journal-envois")
        self.request.response.setHeader("Content-Type", "application/json; charset=utf-8")
        return json.dumps(journal(self.context), ensure_ascii=False, indent=1)


class Sendings(BrowserView):
    """The log of what was sent: what the relay took, when, for whom; what a person handed over on paper; what élus
    opened in their space."""

    def __call__(self) -> str:
        if not is_logged(self.context):
            raise NotFound("envois")
        if self.request.method != "POST":
            return str(self.index())
        if not self.may_write():
            raise Unauthorized("Le DGS ou le maire note ce qui est remis.")
        return gestures.answer(self.request, self._apply_gesture, f"{self.context.absolute_url()}/@@envois")

    def may_write(self) -> bool:
        """Whether this person notes what is handed over, or has a mail sent again."""
        return bool(_MANAGERS & set(api.user.get_roles(obj=self.context)))

    def opened(self) -> list[dict[str, Any]]:
        """What each élu opened in their space, by version of the convocation, for the DGS and the maire."""
        found: dict[tuple[int, str], list[str]] = {}
        for one in reading.opened(self.context) if self.may_write() else ():
            found.setdefault((one.version, one.name), []).append(f"{one.what}, le {_format_moment(one.when)}")
        return [{"version": version, "elu": name, "lignes": lines} for (version, name), lines in sorted(found.items())]

    def may_hand_over(self) -> bool:
        """Whether several hand-overs on paper are still to be noted."""
        left = [one for one in sendings(self.context) if one.address == PAPER and one.state != HANDED]
        return self.may_write() and len(left) > 1 and api.content.get_state(self.context) not in frozen.ENDED

    def obstacles(self) -> list[str]:
        """What the meeting does not open for, till it is over."""
        awaited = api.content.get_state(self.context) == "convoquee"
        return [f"{one[:1].upper()}{one[1:]}." for one in problems(self.context)] if awaited else []

    def approvals(self) -> dict[int, str]:
        """Who approved each version, when, in words."""
        found = {}
        for mail in mails(self.context):
            if told := mail.get("approbation"):
                found[mail["version"]] = f"Approuvée par {told['par']} le {_format_moment(told['le'])}."
        return found

    def _apply_gesture(self) -> str:
        mail = current(self.context)
        if mail is None:
            raise ValueError("Rien n'est parti d'ici pour cette séance.")
        if mail["version"] not in [one["version"] for one in mails(self.context)]:  # of before these were kept
            self.context.creatic_courriers = (*mails(self.context), mail)
        form, version = self.request.form, mail["version"]
        name = str(form.get("elu") or "")
        left = [one.name for one in sendings(self.context) if one.address == PAPER and one.state != HANDED]
        if name not in (*mail["a"], _ALL_PAPER) or (name == _ALL_PAPER and not left):
            raise ValueError("Cet élu n'est pas parmi ceux que cette convocation appelle.")
        if form.get("renvoyer"):
            return self._send_again(mail, name, receipts(self.context).get((version, name), {}))
        today = datetime.date.today()
        try:
            day = datetime.date.fromisoformat(str(form.get("jour") or ""))
        except ValueError:
            raise ValueError("Remise sur papier : écrivez le jour, par exemple 2026-11-27.") from None
        first = self.context.sent()
        if not first <= day <= today:
            raise ValueError(
                f"Remise sur papier : une date du {rules.french_date(first)} au {rules.french_date(today)}."
            )
        moment = datetime.datetime.combine(day, datetime.time(12), _CONVENING_TIMEZONE).astimezone(datetime.UTC)
        who = str(api.user.get_current().getId())
        to = left if name == _ALL_PAPER else [name]
        for one in to:
            rank = int(receipts(self.context).get((version, one), {}).get("essai", 1))
            told = {"etat": HANDED, "le": moment.isoformat(), "detail": f"noté par {who}", "essai": rank, "par": who}
            _record_receipt(self.context, version, one, **told)
            watch.note(self.context, f"Convocation, version {version}, remise sur papier à {one}")
        _end_sending(self.context)
        return f"Remise sur papier notée : {', '.join(to)}."

    def _send_again(self, mail: dict[str, Any], name: str, known: dict[str, Any]) -> str:
        address = addresses(commune_of(self.context)).get(name, PAPER)
        if known.get("etat") not in (REFUSED, UNSURE):
            raise ValueError("Seul un envoi refusé ou incertain se refait.")
        if address == PAPER:
            raise ValueError(f"{name} n'a pas d'adresse : notez-la sur la page « Adresses des élus ».")
        if api.content.get_state(self.context) != "convoquee":
            raise ValueError("La séance n'est plus à venir : rien ne part.")
        changed = {**mail, "a": {**mail["a"], name: address}}
        self.context.creatic_courriers = (*mails(self.context)[:-1], changed)
        _record_receipt(self.context, mail["version"], name, etat="", le="", detail="", essai=int(known["essai"]) + 1)
        watch.note(self.context, f"Convocation, version {mail['version']}, à renvoyer à {name}")
        return f"Le courriel repart pour {name}."

    def versions(self) -> list[dict[str, Any]]:
        """What was sent, latest first."""
        found = []
        now = current(self.context)
        known = {one["version"]: one for one in (*mails(self.context), *([now] if now else []))}
        for version, mail in sorted(known.items(), reverse=True):
            last = now is not None and version == now["version"]
            rows = [self._receipt_row(mail, name, address, last) for name, address in mail["a"].items()]
            left = {"laissees": mailing.heavy(mail["laissees"]), "seule": unsent(self.context, mail)}
            found.append({"version": mail["version"], "lignes": rows, **left})
        return found

    def _receipt_row(self, mail: dict[str, Any], name: str, address: str, last: bool) -> dict[str, Any]:
        known = receipts(self.context).get((mail["version"], name), {})
        state = known.get("etat", "")
        shown = address if self.may_write() else "par courriel"  # the DGS and the maire alone read addresses
        row = {
            "elu": name,
            "adresse": "sur papier" if address == PAPER else shown,
            "quand": "",
            "alerte": "",
            "dit": mailing.STATES.get(state, ""),
            "detail": known.get("detail", "") if self.may_write() else "",
            "ouverte": "",
            "papier": False,
            "renvoyer": False,
            "bon": state in (ACCEPTED, HANDED),
        }
        if known.get("le"):
            moment = datetime.datetime.fromisoformat(known["le"]).astimezone(_CONVENING_TIMEZONE)
            row["quand"] = moment.strftime("%d/%m/%Y" if state == HANDED else "%d/%m/%Y à %H:%M")
            if state in (ACCEPTED, HANDED):
                row["alerte"] = mailing.too_late(self.context.delay(), moment.date(), self.context.date)
        elif address == PAPER:
            row["dit"] = "À remettre sur papier"
        else:
            row["dit"] = "En attente du relais de courriel"
        read = reading.received(self.context, mail["version"]).get(name)
        row["ouverte"] = f"Ouverte dans l'espace des élus le {_format_moment(read)}" if read else ""
        open_ = last and self.may_write() and api.content.get_state(self.context) not in frozen.ENDED
        # A day that was noted wrong is noted again, till the meeting opens.
        awaited = api.content.get_state(self.context) == "convoquee"
        row["papier"] = open_ and state != ACCEPTED and (awaited or state != HANDED)
        row["renvoyer"] = open_ and state in (REFUSED, UNSURE)
        return row
