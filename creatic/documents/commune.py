# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A commune's page for its maire: what protects it, as a sealed audit found, and what it does itself.

Nothing is collected: one audit is read, the last that looked at a machine of the commune, else the last of all. A
sentence is asserted of machines that this audit saw whole, and only where each control that shows it is conform.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import words
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

from creatic.audit import postes
from creatic.audit import sources as audit
from creatic.audit.controls import LEVELS
from creatic.audit.page import write_pdf
from creatic.documents import supports
from creatic.documents.referentiel import Contact, Referentiel, load
from creatic.documents.settings import Settings
from creatic.evidence import store
from creatic.evidence.page import ENVIRONMENT
from creatic.evidence.rollout import PLACES
from creatic.evidence.seal import DIGESTS, sha256
from creatic.registry import papers, profiles
from creatic.registry.groupement import Commune

FOLDER = "documents"
_COMMUNE_PAGE_TEMPLATE = "audit_commune.html.j2"
_WHOLE, _WINDOWS = "auditee", "hors_portee"
# Why nothing is said of a machine, by its state in the audit; None: the audit did not look at it.
_UNSEEN_REASONS = {
    None: "hors de cet audit",
    "injoignable": "sans réponse à l'audit",
    "perdue": "sans réponse dès le milieu de l'audit",
    "en_erreur": "constats incomplets",
    _WINDOWS: "sous Windows, dont l'audit n'a rien reçu de récent",
}
_BACKUPS = ("backup_server", "Sauvegardes")


class PageError(CreaticError, cause="page"):
    """No page can be written; the message is French and says what to do."""


@dataclass(frozen=True)
class Order:
    """What is asked.

    Attributes:
        home: state of the control node; the page is a record of its evidence, in ``documents``.
        environment: name of the environment.
        settings: of the environment: its servers, and who is to be asked.
        now: with its timezone.
    """

    home: Path
    environment: str
    settings: Settings
    commune: Commune
    now: datetime

    def produce(self) -> tuple[Path, list[str], str]:
        """Write the page, HTML and PDF, in a sealed record of its own.

        Returns:
            The record's folder, what the groupement has to fill in (French), and why it is not signed (French; empty
            when it is).

        Raises:
            PageError: there is no audit, or the one to rely on was changed since it was sealed.
        """
        run = self._audit_folder()
        if why := supports.fault(run, self.home):
            raise PageError(
                f"l'audit {run.name} ne vaut pas : {why}. À faire : retrouvez sa copie intacte, ou refaites-en un "
                f"(fab audit --limite {self.commune.group})"
            )
        told = self.facts(store.facts_of(run)) | {"environnement": self.environment}
        told["audit"] |= {"empreinte": sha256(run / DIGESTS), "nom": run.name}
        started = self.now.isoformat(timespec="seconds")
        try:
            with store.opened(self.home, FOLDER, store.operator(), started) as opened:
                page = ENVIRONMENT.get_template(_COMMUNE_PAGE_TEMPLATE).render(record={**told, "passage": opened.name})
                write_pdf(page, opened.staging / "rapport.pdf")
                with store.closing(self.home / FOLDER) as finished:
                    folder, unsealed = opened.publish(finished, told, _COMMUNE_PAGE_TEMPLATE)
        except store.EvidenceError as error:
            raise PageError(str(error)) from None
        return folder, told["a_completer"], unsealed

    def facts(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """All that the page says.

        Args:
            results: content of an audit's ``resultats.json``; of an earlier version too.
        """
        known, moment = load(), _parse_moment(results.get("fin"))
        age = (self.now.date() - moment.astimezone(self.now.tzinfo).date()).days if moment else None
        found = _Found(results, self.commune, known, self.now.date(), is_old=age is None or age > supports.AUDIT_DAYS)
        protections = found.protections()
        contacts, lacking = self._list_contacts(known)
        duties = known.duties(self.commune.data["agents"])
        tone, title, phrase = _page_title(found, protections, age)
        cited = [*(duty.fonde for duty in duties), *(step.fonde for step in known.incident)]
        cited += [contact.fonde for contact in known.contacts.values()]
        names = dict.fromkeys(name for places in cited for name, _where in places)
        commune = self.commune.variables
        return {
            "document": "page de la commune",
            "commune": {name: commune[name] for name in ("slug", "nom", "siren", "agents", "taille")}
            | {"habitants": commune.get("deliberations", {}).get("habitants")},
            "organisation": self._organisation_name,
            "audit": {
                "fin": moment.isoformat() if moment else None,
                "jours": age,
                "ancien": found.is_old,
                "perimetre": str(results.get("perimetre", audit.WHOLE)),
                "interrompu": results.get("interrompu"),
                "niveaux": found.levels(),
                "niveau_impose": results.get("niveau_impose"),
            },
            "ton": tone,
            "titre": title,
            "phrase": phrase,
            "vues": [found.label(name) for name in found.seen],
            "non_vues": found.unseen(),
            "correctifs": found.updates(),
            "protections": protections,
            "reste": _group_protections(one for one in protections if one["verdict"] != audit.CONFORME),
            "postes": found.measures(),
            "services": found.services(self.settings.machines),
            "a_faire": [
                {
                    "titre": one.titre,
                    "dit": one.dit,
                    "aide": contacts[one.aide]["nom"],
                    "fonde": known.cite_rules(one.fonde),
                }
                for one in duties
            ],
            "incident": [{"dit": one.dit, "fonde": known.cite_rules(one.fonde)} for one in known.incident],
            "contacts": list(contacts.values()),
            "sources": [
                {"sigle": one.sigle, "nom": one.nom, "date": _format_date(one.date)}
                for one in (known.sources[name] for name in names)
            ],
            "a_completer": lacking,
        }

    def _audit_folder(self) -> Path:
        """The last audit that looked at a machine of the commune; without one, the last of all."""
        last = None
        for run in reversed(store.runs(self.home / "audits")):
            results = store.read_json(run / store.AUDIT)
            if not isinstance(results, dict):
                continue
            last = last or run
            if any(_is_of(self.commune, one) for one in results.get("machines", ())):
                return run
        if last is None:
            raise PageError(
                f"aucun audit sur ce poste de commande, rien ne se sait de {self.commune.data['nom']}. À faire : "
                f"« fab audit », ou « fab audit --limite {self.commune.group} » pour ses seules machines"
            )
        return last

    @functools.cached_property
    def _organisation_name(self) -> str:
        authority = self.settings.only("creatic_autorite")
        return str((authority if isinstance(authority, dict) else {}).get("organisation") or "")

    def _list_contacts(self, known: Referentiel) -> tuple[dict[str, dict[str, str]], list[str]]:
        """Whom to ask, by short name, and what the groupement's files do not say of them."""
        told, lacking = papers.usable_fields(self.settings.only(papers.NAME)), list[str]()

        def describe_contact(name: str, one: Contact) -> dict[str, str]:
            called = self._organisation_name if name == "groupement" else ""
            if one.champ and one.champ not in told:
                lacking.append(f"{papers.FIELDS[one.champ]} ({papers.NAME}.{one.champ}, {papers.FILE})")
            who = told.get("representant", "") if name == "groupement" else ""
            return {
                "nom": called or one.nom,
                "quand": one.quand,
                "qui": who,
                "joindre": re.sub(r"(?<=\d) (?=\d)", "\N{NO-BREAK SPACE}", told.get(one.champ, one.joindre)),
                "champ": one.champ,
            }

        return {name: describe_contact(name, one) for name, one in known.contacts.items()}, lacking


class _Found:
    """What an audit found of a commune's machines, those of its file; what left it is no more the commune's."""

    def __init__(
        self, results: Mapping[str, Any], commune: Commune, known: Referentiel, today: date, *, is_old: bool
    ) -> None:
        self.commune, self.known, self.today, self.is_old = commune, known, today, is_old
        self.hosts = {host.name: host.variables for host in (*commune.pcs(), *commune.hosts())}
        self.carried = {host.name for host in commune.pcs() if host.is_carried}
        self.results = results
        self.all = {str(one["nom"]): one for one in results.get("machines", ())}
        self.machines = {name: one for name, one in self.all.items() if name in self.hosts and _is_of(commune, one)}
        self.controls = {str(one["id"]): one for one in results.get("controles", ())}
        self.seen = [name for name in self.hosts if self._machine_state(name) == _WHOLE]

    def label(self, name: str) -> str:
        """A machine's name within its commune."""
        return name.removeprefix(f"{self.commune.slug}-")

    def _machine_state(self, name: str) -> str | None:
        return self.machines[name]["etat"] if name in self.machines else None

    def unseen(self) -> list[dict[str, Any]]:
        """Machines of which nothing is asserted, by reason (``raison``, ``machines``)."""
        reasons = dict[str, list[str]]()
        for name, variables in self.hosts.items():
            if (state := self._machine_state(name)) == _WHOLE:
                continue
            if self._is_judged_pc(name):
                continue
            windows = variables.get("creatic_poste", {}).get("systeme") == "windows"
            why = _UNSEEN_REASONS.get(_WINDOWS if windows else state, str(state))
            if name in self.carried and state is not None:
                why = "que nul ne joint, dont l'audit n'a rien reçu de récent"
            elif state is None and self.commune.outgoing:
                why = "en accès sortant, que l'audit ne joint pas"
            reasons.setdefault(why, []).append(self.label(name))
        return [{"raison": why, "machines": names} for why, names in reasons.items()]

    def _is_judged_pc(self, name: str) -> bool:
        """Whether what a PC under Windows said of itself was judged."""
        one = self.machines.get(name, {})
        return bool(one.get("etat") == _WINDOWS and (one.get("poste") or {}).get("etat") == postes.JUDGED)

    def measures(self) -> dict[str, Any]:
        """What PCs said of themselves: ``vus``, ``tenues``, and ``a_prendre``, what the commune can do, by measure."""
        heard = [
            name for name in self.hosts if (self.machines.get(name, {}).get("poste") or {}).get("etat") == postes.JUDGED
        ]
        found: dict[str, Any] = {"vus": [self.label(name) for name in heard], "tenues": [], "a_prendre": []}
        for one in (self.results.get("postes") or {"mesures": ()})["mesures"]:
            verdicts = {name: one["machines"][name]["verdict"] for name in heard if name in one["machines"]}
            bad = [self.label(name) for name, verdict in verdicts.items() if verdict == audit.NON_CONFORME]
            if bad:
                found["a_prendre"].append({name: one[name] for name in ("titre", "agir", "fonde")} | {"machines": bad})
            elif verdicts and {*verdicts.values()} == {audit.CONFORME}:
                found["tenues"].append(one["titre"])
        return found

    def levels(self) -> list[str]:
        """Levels at which the machines that were seen were judged; the commune's of today when none was."""
        asked = {str(self.machines[name].get("niveau") or self.commune.variables["niveau"]) for name in self.seen}
        return sorted(asked or {str(self.commune.variables["niveau"])}, key=LEVELS.index)

    def updates(self) -> list[str]:
        """Machines for which security updates waited."""
        return [self.label(name) for name in self.seen if (self.machines[name].get("correctifs") or {}).get("securite")]

    def protections(self) -> list[dict[str, Any]]:
        """What was asked of the machines, each with its verdict: the conform ones, then the worst first."""
        found = [self._build_protection(one.titre, one.dit, one.controles) for one in self.known.protections]
        named = {name for one in self.known.protections for name in one.controles}
        for name, control in self.controls.items():  # of another version of the catalogue
            if name not in named:
                found.append(self._build_protection(str(control["titre"]), "", (name,)))
        found.append(
            self._merge_verdicts(
                "Réglages",
                "Chaque machine est restée telle que le groupement l'a réglée.",
                {name: self._drift_verdict(name) for name in self.machines},
            )
        )
        failing = {name: audit.NON_CONFORME for name in self.machines if self._failure_count(name)}
        found.append(self._merge_verdicts("Essais de fonctionnement", "", failing))
        order = {verdict: rank for rank, verdict in enumerate((audit.CONFORME, *audit.VERDICTS))}
        return sorted((one for one in found if one), key=lambda one: order[one["verdict"]])

    def _build_protection(self, title: str, said: str, controls: Sequence[str]) -> dict[str, Any] | None:
        verdicts = {name: verdict for name in self.machines if (verdict := self._worst_verdict(name, controls))}
        return self._merge_verdicts(title, said, verdicts, controls)

    def _worst_verdict(self, machine: str, controls: Sequence[str]) -> str | None:
        """The worst verdict of these controls on a machine; None when its level asks for none of them."""
        found = [self._control_result(machine, name).get("verdict") for name in controls]
        if not any(found):
            return None
        verdict = audit.worst(one or audit.NON_VERIFIE for one in found)  # one that this audit did not know
        return None if verdict == audit.SANS_OBJET else verdict

    def _control_result(self, machine: str, control: str) -> Mapping[str, Any]:
        result: Mapping[str, Any] = self.controls.get(control, {}).get("machines", {}).get(machine, {})
        return result

    def _drift_verdict(self, name: str) -> str:
        drift = self.machines[name].get("derive")
        return audit.NON_VERIFIE if drift is None else audit.NON_CONFORME if drift else audit.CONFORME

    def _failure_count(self, name: str) -> int:
        return len((self.machines[name].get("essais") or {}).get("echecs_du_profil", ()))

    def _merge_verdicts(
        self, title: str, said: str, verdicts: Mapping[str, str], controls: Sequence[str] = ()
    ) -> dict[str, Any] | None:
        """What is said of one protection; None when there is nothing to say.

        Of a machine that was not seen whole, a failure stands, and nothing else counts.
        """
        kept = {name: one for name, one in verdicts.items() if name in self.seen or one == audit.NON_CONFORME}
        if not kept:
            return None
        verdict = audit.worst(kept.values())
        groups = []
        for one in audit.VERDICTS:
            names = [name for name in kept if kept[name] == one]
            if not names or one == audit.CONFORME:
                continue
            groups.append(
                {
                    "verdict": one,
                    "machines": [self.label(name) for name in names],
                    "controles": [
                        control
                        for control in controls
                        if any(
                            self._control_result(name, control).get("verdict", audit.NON_VERIFIE) == one
                            for name in names
                        )
                    ],
                    "derogations": self._list_waivers(names, controls) if one == audit.DEROGATION else [],
                }
            )
        return {
            "titre": title,
            "dit": said,
            "verdict": verdict,
            "conformes": sum(one == audit.CONFORME for one in kept.values()),
            "machines": len(kept),
            "groupes": groups,
        }

    def _list_waivers(self, names: Iterable[str], controls: Sequence[str]) -> list[dict[str, Any]]:
        """Who assumes what is not followed, and until when; what ended since the audit is said."""
        found = {
            (str(one["responsable"]), str(one["fin"]))
            for name in names
            for control in controls
            for one in self._control_result(name, control).get("derogations", ())
        }
        return [
            {"responsable": owner, "fin": _format_date(end), "echue": end < self.today.isoformat()}
            for owner, end in sorted(found, key=lambda item: item[::-1])
        ]

    def services(self, machines: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """What the groupement's servers that serve the commune are worth, by service.

        Args:
            machines: of the inventory, by profile.
        """
        places = dict[str, list[str]]()
        for name, profile in profiles.load().items():
            if profile.place and profile.serves(self.commune.data["services"]):
                places.setdefault(PLACES[profile.place], []).extend(machines.get(name, ()))
        places[_BACKUPS[1]] = list(machines.get(_BACKUPS[0], ()))
        return [self._judge_service(label, names) for label, names in places.items() if names]

    def _judge_service(self, label: str, names: Sequence[str]) -> dict[str, Any]:
        looked = [self.all[name] for name in names if name in self.all]
        counts = {verdict: sum(one.get("verdicts", {}).get(verdict, 0) for one in looked) for verdict in audit.VERDICTS}
        whole = sum(one["etat"] == _WHOLE for one in looked)
        if any(self._has_gaps(one) for one in looked):
            verdict = audit.NON_CONFORME
        elif whole < len(names) or self.is_old:
            verdict = audit.NON_VERIFIE
        else:
            verdict = audit.worst(name for name, number in counts.items() if number)
            verdict = audit.NON_VERIFIE if verdict == audit.SANS_OBJET else verdict
        return {"nom": label, "machines": len(names), "vues": whole, "verdict": verdict, "comptes": counts}

    @staticmethod
    def _has_gaps(machine: Mapping[str, Any]) -> bool:
        """Whether the audit found something without a waiver on a machine."""
        return bool(machine.get("ecarts") or machine.get("verdicts", {}).get(audit.NON_CONFORME))


def _group_protections(protections: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Protections of which the same is said, together: ``sujets`` (title, controls), ``groupes``, ``conformes``."""
    found = dict[str, dict[str, Any]]()
    for one in protections:
        groups, subject = one["groupes"], {"titre": one["titre"], "controles": []}
        if len(groups) == 1:  # all its controls are told beside its title
            subject["controles"] = groups[0]["controles"]
            groups = [groups[0] | {"controles": []}]
        key = json.dumps([groups, one["conformes"]])
        entry = {"verdict": one["verdict"], "sujets": [], "groupes": groups, "conformes": one["conformes"]}
        found.setdefault(key, entry)["sujets"].append(subject)
    return list(found.values())


def _is_of(commune: Commune, machine: Mapping[str, Any]) -> bool:
    """Whether an audit's machine is of a commune: by its SIREN; by its short name where an audit noted none."""
    noted = machine.get("commune") or {}
    if "siren" in noted:
        return bool(noted["siren"] == commune.data["siren"])
    return bool(noted.get("slug") == commune.slug)


def _format_date(day: str) -> str:
    """A date, or a month, as people write it: « 21/07/2022 », « 09/2017 »."""
    return "/".join(reversed(day.split("-")))


def _parse_moment(text: Any) -> datetime | None:
    """When an audit ended; None when nobody can tell."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _page_title(found: _Found, protections: Sequence[Mapping[str, Any]], age: int | None) -> tuple[str, str, str]:
    """Tone, title and sentence of the page."""
    total, held = len(protections), sum(one["verdict"] == audit.CONFORME for one in protections)
    bad = [str(one["titre"]) for one in protections if one["verdict"] == audit.NON_CONFORME]
    if not found.hosts:
        what = "Le groupement ne tient aucune machine dans la commune : il n'y a rien à y vérifier."
        return "partiel", "Aucune machine du groupement chez vous", what
    if not protections:
        what = "Cet audit n'a vu en entier aucune des machines que le groupement tient chez vous : rien n'est affirmé."
        what += "" if found.commune.outgoing else " Demandez-lui leur audit."
        return "attention", "Rien n'a pu être vérifié chez vous", what
    if found.is_old:
        how = "sa date est illisible" if age is None else f"il a {words.count(age, 'jour')}"
        what = f"Ce qu'il a trouvé n'est pas affirmé d'aujourd'hui ({how}) : demandez-en un nouveau au groupement."
        return "attention", "Audit trop ancien", what
    count = f"{words.count(held, 'protection')} {'tenues' if held > 1 else 'tenue'} sur {total}"
    if bad:
        return "echec", count, f"Le groupement a à corriger : {', '.join(bad)}."
    if own := [str(one["titre"]) for one in found.measures()["a_prendre"]]:
        return "attention", count, f"À corriger sur vos postes, la page dit comment : {', '.join(own)}."
    if held < total or found.unseen():
        return "attention", count, "Le reste n'est pas affirmé : la page dit pourquoi."
    return "ok", count, "Tout ce qui était demandé à vos machines a été constaté conforme."
