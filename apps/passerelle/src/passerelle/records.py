"""The commune's acts one by one over HTTP: the register of arrêtés, the certificate, the décisions told to the council.

Everything here is read, and noted, by the agents of the commune alone; what changes something is taken from this site's
own pages (Sec-Fetch-Site, as in desk.py).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import date, datetime
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

from flask import Response, redirect, render_template, request, send_file

from creatic_agent.identity import Denied

from . import delays, executory, pdf
from .acts import FAILED, BadRequest, unsaid, words
from .config import Commune, Config
from .identity import Visitor
from .letters import PARIS, Letters
from .names import marked
from .register import ARRETES, BOOKS, DELIBERATIONS, PDF_MAX, UNNUMBERED, Entry, Register
from .steps import PES
from .store import Store, Tracked

_YEARS = range(1800, 3000)


class Records:
    """Views. `visitor` gives who asks, from the certificate and from nothing else."""

    def __init__(self, config: Config, store: Store, letters: Letters, visitor: Callable[[], Visitor]) -> None:
        self._config, self._store, self._letters, self._visitor = config, store, letters, visitor
        self._register = Register(store)

    def rules(self) -> Iterator[tuple[str, str, Callable[..., Any]]]:
        """Method, address and view of each."""
        yield "GET", "/acte", self.act
        yield "POST", "/acte", self.note
        yield "GET", "/acte/executoire.pdf", self.certificate
        yield "GET", "/registre", self.register
        yield "GET", "/registre.pdf", self.register_pdf
        yield "GET", "/decisions", self.decisions
        yield "POST", "/decisions", self.report
        yield "GET", "/decisions.pdf", self.decisions_pdf

    def _agent(self) -> tuple[Commune, str]:
        who = self._visitor()
        if who.commune is None or not who.agent:
            raise Denied("Les registres d'une commune sont tenus par ses seuls agents, avec le certificat d'un poste.")
        return who.commune, who.name

    def _gesture(self) -> tuple[Commune, str]:
        found = self._agent()
        if request.headers.get("Sec-Fetch-Site") != "same-origin":
            raise Denied("Ce geste se fait depuis la page, dans un navigateur à jour.")
        return found

    # -- an act --------------------------------------------------------------------------------------------

    def _asked(self, commune: Commune) -> Tracked:
        reference = request.args.get("reference", "")
        act = self._store.get(reference)
        if act is None or act.commune != commune.slug or act.eliminated:
            raise BadRequest("Cet acte n'est pas de votre commune, ou n'est pas ici.", 404)
        return act

    def act(self) -> str:
        """An act: its dates, and what it lacks to be executory."""
        commune, _name = self._agent()
        return self._act_page(commune)

    def _act_page(self, commune: Commune, fault: str = "") -> str:
        act = self._asked(commune)
        stands = executory.standing(act, self._config)
        gestures = [
            {"nom": one, "titre": executory.GESTURES[one][2], "modes": executory.modes(act, self._config, one)}
            for one in executory.offered(act, self._config)
        ]
        named = act.tdt.get("id_acte", "")
        about = self._letters.requests(commune, [named]).get(named, ()) if named else ()
        return render_template(
            "acte.html.j2", delais=delays.told(act, delays.of(act, self._config, about), _today())["delais"],
            commune=commune.name, act=act, nature=words(act), erreur=fault, gestes=gestures,
            manque=stands.lacks, depuis=french(stands.since), faits=self._facts(act, stands), aujourdhui=_today(),
            lien=quote(act.reference, safe=""), flux=act.circuit == PES,
            objet=marked(act.subject),
        )  # fmt: skip # one call by its parts

    def note(self) -> Response:
        """Note the day of a publication, of a notification, of a reception on paper."""
        commune, name = self._gesture()
        act = self._asked(commune)
        form = request.form
        try:
            day = _date(form.get("date", ""))
            executory.note(
                self._store, self._config, act.reference, commune.slug, name,
                form.get("geste", ""), day, form.get("mode", ""), _today(),
            )  # fmt: skip # one call by its parts
        except BadRequest as error:
            return Response(self._act_page(commune, str(error)), error.status)
        return _to(f"/acte?reference={quote(act.reference, safe='')}")

    def certificate(self) -> Response:
        """The certificate that an act is executory (CGCT, L2131-1), for the maire to sign.

        Raises:
            BadRequest: the commune has no such act (404), or it is not executory (409); the message says what it lacks.
        """
        commune, _name = self._agent()
        act = self._asked(commune)
        stands = executory.standing(act, self._config)
        if stands.since is None:
            lacks = " ".join(stands.lacks) or "Sa publication ou sa notification n'est pas connue."
            raise BadRequest(f"« {act.number} » n'est pas exécutoire. Il manque : {lacks}", 409)
        number, head = act.number, "président" if commune.host else "maire"
        content = pdf.make(
            "Certificat de caractère exécutoire",
            commune.name,
            f"Acte {number} - {commune.name}",
            [
                f"{'Entité' if commune.host else 'Commune'} : {commune.name} (SIREN {commune.siren}).",
                pdf.Facts(self._facts(act, stands)),
                f"L'acte désigné ci-dessus est exécutoire de plein droit depuis le {french(stands.since)}, "
                + (
                    "après sa transmission au représentant de l'État et sa publication ou sa notification "
                    "(CGCT, articles L2131-1 et L2131-2)."
                    if stands.received
                    else "après sa publication ou sa notification ; il n'est pas de ceux qui se transmettent au "
                    "représentant de l'État (CGCT, articles L2131-2 et L2131-3)."
                ),
                f"Le {head} certifie, sous sa responsabilité, son caractère exécutoire (CGCT, article L2131-1).",
                pdf.Section("Fait à ______________________, le ______________________"),
                f"Le {head} (nom, prénom, qualité et signature) :",
                f"Établi le {french(_today())} d'après ce que la passerelle sait de l'acte. L'accusé de réception de "
                "la préfecture (ARActe) et l'acte signé, dont l'empreinte est ci-dessus, en sont les preuves.",
            ],
        )
        return _pdf(content, f"executoire-{number}")

    def _facts(self, act: Tracked, stands: executory.Standing) -> list[tuple[str, str]]:
        tdt = act.tdt
        found = [
            ("Numéro", act.number),
            ("Objet", act.subject),
            ("Nature", words(act)),
            ("Date de l'acte", french(executory.day_of(act.date))),
        ]
        if act.matter:
            found.append(("Matière", act.matter))
        if act.circuit != PES and not unsaid(act) and not act.goes:
            found.append(("Transmission", "non transmissible (CGCT, L2131-2)"))
        elif stands.received:
            how = f"ARActe {tdt['id_acte']}" if tdt.get("id_acte") else executory.RECEPTION["papier"]
            found.append(("Reçu en préfecture", f"le {french(stands.received)} ({how})"))
        if stands.published:
            how = executory.described(act, "publication", executory.PUBLICATION)
            found.append(("Publié", f"le {french(stands.published)}" + (f" ({how})" if how else "")))
        if stands.notified:
            how = executory.described(act, "notification", executory.NOTIFICATION)
            found.append(("Notifié à l'intéressé", f"le {french(stands.notified)} ({how})"))
        if act.document:
            found.append(("Empreinte du document (SHA-256)", act.document))
        return found

    # -- the register --------------------------------------------------------------------------------------

    def register(self) -> str:
        """The register of arrêtés, or of that of the délibérations the décisions, a year at a time."""
        commune, _name = self._agent()
        book, years = _book(), self._register.years(commune)
        year = _year(years)
        after = _number(request.args.get("apres", "0"))
        found = self._register.entries(commune, year, after, book=book)
        last = self._register.last(commune, year, book)
        faults, following = self._register.faults(commune, year)
        return render_template(
            "registre.html.j2", commune=commune.name, annee=year, annees=years, livre=book, livres=BOOKS,
            lignes=[self._line(one) for one in found],
            total=self._register.count(commune, year, book),
            parties=range(0, max(last, 1), PDF_MAX),
            suite=found[-1].rank if found and found[-1].rank < last else 0, apres=after,
            defauts=faults, suivant=following, partis=self._register.left(commune, year, book),
        )  # fmt: skip # one call by its parts

    def register_pdf(self) -> Response:
        """The same to print: the year, by parts where it is a long one."""
        commune, _name = self._agent()
        book, year = _book(), _year(self._register.years(commune))
        after = _number(request.args.get("apres", "0"))
        found = [self._line(one) for one in self._register.entries(commune, year, after, PDF_MAX, book)]
        total = self._register.count(commune, year, book)
        part = f" ; ici, les numéros d'ordre {found[0]['rang']} à {found[-1]['rang']}" if 0 < len(found) < total else ""
        faults, _following = self._register.faults(commune, year)
        rows = [
            [str(one["rang"]), one["numero"], one["le"], one["objet"], one["nature"], one["transmission"], one["connu"]]
            for one in found
        ]
        texts = "L2122-22 et R2122-7-1" if book == DELIBERATIONS else "L2122-29 et R2122-7"
        blocks: list[pdf.Block] = [
            f"Commune : {commune.name}. "
            f"Année {year} : {total} inscription{'s' * (total > 1)} au {french(_today())}{part}. "
            f"CGCT, articles {texts}. Le registre tenu sur papier, coté et paraphé, reste celui "
            "qui fait foi (R2121-9) : ce tirage en est la matière.",
            pdf.Listing(
                ["Ordre", "Numéro", "Date", "Objet", "Nature", "Transmission", "Publication, notification"],
                [4, 9, 7, 32, 14, 15, 17],
                rows,
            ),
        ]
        if left := self._register.left(commune, year, book):
            other = next(title for name, title in BOOKS.items() if name != book)
            blocks += [
                pdf.Section("Numéros d'ordre qui ne sont plus ici"),
                *(f"{here} (« {number} ») : {other}, numéro d'ordre {there}." for here, there, number in left),
            ]
        if faults:
            blocks += [pdf.Section("À vérifier"), *faults]
        content = pdf.make(f"{BOOKS[book]} {year}", commune.name, f"{commune.name} - registre {year}", blocks, True)
        return _pdf(content, f"registre-{book}-{commune.slug}-{year}")

    def _line(self, one: Entry) -> dict[str, Any]:
        act = one.act
        line: dict[str, Any] = {
            "rang": one.rank, "reference": quote(one.reference, safe=""), "brute": one.reference,
            "numero": one.number or UNNUMBERED, "le": french(one.day),
            "objet": one.subject, "ici": act is not None, "nature": "Décision (L2122-22)" if one.decision else "Arrêté",
            "transmission": "", "connu": "", "executoire": "",
            "compte_rendu": french(one.reported), "date": one.day,
        }  # fmt: skip # a table
        if act is None:
            return line
        stands = executory.standing(act, self._config)
        if not one.decision:
            line["nature"] = "À dire" if unsaid(act) else words(act)
        if unsaid(act):
            line["transmission"] = "à dire"
        elif not act.goes:
            line["transmission"] = "non transmissible"
        elif stands.received:
            line["transmission"] = f"reçu le {french(stands.received)}"
        else:
            failed = (act.track.get("echec") or {}).get("etat") in FAILED
            line["transmission"] = "refusé" if failed else "à transmettre"
        known = [f"publié le {french(stands.published)}"] if stands.published else []
        known += [f"notifié le {french(stands.notified)}"] if stands.notified else []
        return line | {"connu": ", ".join(known), "executoire": french(stands.since)}

    # -- décisions -----------------------------------------------------------------------------------------

    def decisions(self) -> str:
        """Décisions to tell the council of, and reports that were made."""
        commune, _name = self._agent()
        return self._decisions_page(commune)

    def _decisions_page(self, commune: Commune, fault: str = "") -> str:
        waiting = [self._line(one) for one in self._register.to_report(commune)]
        last = executory.day_of(self._register.last_meeting(commune))
        return render_template(
            "decisions.html.j2", commune=commune.name, erreur=fault, lignes=waiting, derniere=french(last),
            oubliees=[one for one in waiting if last and one["date"] < last],
            seances=[(one.isoformat(), french(one)) for one in self._register.meetings(commune)],
        )  # fmt: skip # one call by its parts

    def report(self) -> Response:
        """Note what is reported to a meeting, or take a report back."""
        commune, name = self._gesture()
        form = request.form
        try:
            meeting = _date(form.get("seance", ""))
            if form.get("geste") == "porter":
                self._register.report(commune, name, meeting, form.getlist("decision"), _today())
            elif form.get("geste") == "retirer":
                self._register.take_back(commune, name, meeting)
            else:
                raise BadRequest("Ce geste est inconnu.")
        except BadRequest as error:
            return Response(self._decisions_page(commune, str(error)), error.status)
        return _to("/decisions")

    def decisions_pdf(self) -> Response:
        """The report to a meeting, or the list of what was reported to none yet.

        Raises:
            BadRequest: the meeting's day is no date, or the report would be empty (404).
        """
        commune, _name = self._agent()
        asked = request.args.get("seance", "")
        meeting = _date(asked) if asked else None
        found = self._register.reported(commune, meeting) if meeting else self._register.to_report(commune)
        if not found:
            raise BadRequest("Aucune décision à écrire : le compte rendu serait vide.", 404)
        when = f"séance du {french(meeting)}" if meeting else f"à rendre compte, au {french(_today())}"
        lines = [self._line(one) for one in found]
        rows = [[one["numero"], one["le"], one["objet"], one["transmission"], one["executoire"]] for one in lines]
        content = pdf.make(
            "Décisions prises par délégation du conseil municipal",
            commune.name,
            f"{commune.name} - décisions, {when}",
            [
                f"Commune : {commune.name}, {when}. Décisions prises par le maire en vertu de la délégation du "
                "conseil (CGCT, article L2122-22), dont il rend compte à chacune des réunions obligatoires (L2122-23).",
                pdf.Listing(["Numéro", "Date", "Objet", "Transmission", "Exécutoire"], [12, 9, 45, 18, 12], rows),
            ],
        )
        return _pdf(content, f"decisions-{commune.slug}-{meeting or _today()}")


def french(day: date | None) -> str:
    """A day as people read it, "" for none."""
    return f"{day:%d/%m/%Y}" if day else ""


def _today() -> date:
    return datetime.now(PARIS).date()


def _date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.year not in _YEARS:
        raise BadRequest(f"« {text[:20]} » n'est pas une date (AAAA-MM-JJ).")
    return day


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise BadRequest("Ce numéro de page n'en est pas un.")
    return int(text)


def _year(known: list[int]) -> int:
    """The year that is asked for; the last one that has something."""
    return _number(request.args.get("annee") or str(known[0] if known else _today().year))


def _book() -> str:
    """The register that is asked for."""
    book = request.args.get("livre") or ARRETES
    if book not in BOOKS:
        raise BadRequest(f"Ce registre n'existe pas. Connus : {', '.join(BOOKS)}.")
    return book


def _to(address: str) -> Response:
    return cast(Response, redirect(address, HTTPStatus.SEE_OTHER))


def _pdf(content: bytes, name: str) -> Response:
    return send_file(io.BytesIO(content), mimetype="application/pdf", as_attachment=True, download_name=f"{name}.pdf")
