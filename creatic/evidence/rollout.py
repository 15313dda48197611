# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a rollout proved: facts collected host by host, and what they let us claim of each commune.

*équipée*: every host of the commune was rolled out without failure.
*prête*: équipée, every proof asked of every host was made, without reserve, in this run, and so was that of its place
on each server of the services in its file; and what no machine proves is settled (registry/formalities.py).
A run limited to a part of a commune claims nothing of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import AnswerError, checked
from ansible_collections.cdg59.creatic.plugins.module_utils.words import day

from creatic.registry.wiring import DOORS, REQUIRED

PHASES = {
    "controles": "Contrôles préalables",
    "deploiement": "Déploiement",
    "correctifs": "Correctifs",
    "preuves": "Preuves",
}
PROFILES = {"commune_pc": "poste", "tdt_connector": "connecteur"}

# What a commune has on the servers (`place` of profiles.yml), in the order of the table.
PLACES = {
    "parapheur": "Parapheur",
    "deliberations": "Délibérations",
    "ged": "GED",
    "passerelle": "Passerelle",
    "archivage": "Archivage",
}

# Kinds of answers of a host (answers.schema.json), and where a `HostRun` keeps them.
ANSWERS = {
    "controles": "checks",
    "preuves": "proofs",
    "fichiers": "files",
    "certificats": "certificates",
    "correctifs": "updates",
}


@dataclass(frozen=True)
class HostInfo:
    """A host as the inventory describes it.

    Attributes:
        more: proofs asked of it beside its profile's: key and label.
        is_carried: a PC that nobody reaches (``acces: installeur``): what servers saw of it proves it.
    """

    name: str
    profile: str
    address: str = ""
    system: str = "debian"
    more: tuple[tuple[str, str], ...] = ()
    is_carried: bool = False

    @property
    def required(self) -> dict[str, str]:
        """The proofs that make it ready, with their labels."""
        return REQUIRED.get(self.profile, {}) | dict(self.more)

    @property
    def label(self) -> str:
        """« poste gondecourt-pc-secretariat »."""
        return f"{PROFILES.get(self.profile) or ('serveur' if self.profile else 'hôte')} {self.name}"


@dataclass(frozen=True)
class Entity:
    """An entity that a commune hosts (a CCAS…): it has its places as a commune has, and its commune's connector.

    Attributes:
        places: what it has on servers.
    """

    slug: str
    name: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Commune:
    """A commune of the inventory.

    Attributes:
        slug: name of its file and of its group.
        identity: what its file says of it: nom, siren, insee, territoire, agents, taille, niveau, vague…
        source: name and SHA-256 of its file, when it can be found.
        places: what it has on servers, by the services in its file.
        servers: of each place, those of the inventory, whether this commune has one there or not.
        lacking: places whose server is not in the inventory, each with what is said of it: reason and fix.
        formalities: what it settles with others before it may transmit (from `formalities.judge`).
        entities: those that it hosts; it is ready when they are.
        outgoing: nobody reaches its machines (``acces: sortant``); its places on servers are proven without them.
    """

    slug: str
    identity: Mapping[str, Any]
    hosts: tuple[HostInfo, ...]
    source: Mapping[str, str] | None = None
    places: tuple[str, ...] = ()
    servers: Mapping[str, tuple[HostInfo, ...]] = field(default_factory=dict)
    lacking: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    formalities: Sequence[Mapping[str, str]] = ()
    entities: tuple[Entity, ...] = ()
    outgoing: bool = False

    @property
    def name(self) -> str:
        """Name to show."""
        return str(self.identity.get("nom") or self.slug)


@dataclass
class HostRun:
    """What happened to one targeted host.

    Attributes:
        rolled_out: it ran the whole deployment.
        incident: phase, nature (echec, injoignable, refus), task, reason and fix of what stopped it.
        executed, changed: tasks, skipped ones left out.
        seconds: wall time by phase.
        steps: wall time by step (evidence/steps.py).
        checks, proofs: lists of {cle, libelle, verdict, detail, mesures}.
        files: fetched files, {chemin (relative to the commune's folder), sha256, octets}.
        certificates: what the host holds at the end.
        updates: what there was to bring to it, each time that it was asked.
        refused: answers of the host that were set aside, French reasons; it proves nothing then.
        over: when the run was done with it, if it was before its own end: another may have it from then on.
    """

    rolled_out: bool = False
    incident: dict[str, str] | None = None
    executed: int = 0
    changed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    proofs: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    over: datetime | None = None

    def receive(self, kind: str, answer: Any) -> None:
        """Keep what the host answers: all of one kind, or, when a part of it is not what was asked, nothing.

        Args:
            kind: one of `ANSWERS`.
        """
        kept = getattr(self, ANSWERS[kind])
        if isinstance(kept, list) and isinstance(answer, list):
            answer = [*kept, *answer]
        elif not isinstance(kept, list):
            answer = kept
        try:
            kept = checked(kind, answer)
        except AnswerError as error:
            kept = []
            self.refused.append(str(error))
        setattr(self, ANSWERS[kind], kept)


@dataclass
class Run:
    """A rollout.

    Attributes:
        run_id: name of its folder.
        restriction: why it cannot claim a whole deployment (``--tags`` …); empty otherwise.
        source: version of the code that ran.
        content: digest of this code and of the inventory (`fleet.bundle.digest`); empty when nobody said it.
        hosts: targeted hosts.
        environment: name of the environment; empty when it is not known.
        outgoing: slugs of the communes that nobody reaches, of which servers alone are asked.
        pcs: what servers saw of PCs that nobody reaches (`HostInfo.is_carried`).
    """

    run_id: str
    started: datetime
    operator: str
    source: str = ""
    restriction: str = ""
    finished: datetime | None = None
    hosts: dict[str, HostRun] = field(default_factory=dict)
    environment: str = ""
    outgoing: frozenset[str] = frozenset()
    content: str = ""
    pcs: dict[str, HostRun] = field(default_factory=dict)


def _build_gap(host: str, subject: str, reason: str, remedy: str) -> dict[str, str]:
    return {"hote": host, "objet": subject, "raison": reason, "remede": remedy}


def _host_status(run: HostRun | None) -> str:
    if run is None:
        return "non_vise"
    if run.rolled_out:
        return "deploye"
    return run.incident["nature"] if run.incident else "non_atteint"


def _proof_gaps(host: HostInfo, run: HostRun, again: str) -> list[dict[str, str]]:
    """Required proofs of a rolled-out host that are not there."""
    proofs = {proof["cle"]: proof for proof in run.proofs}
    incident = run.incident
    if incident and not proofs:
        return [_build_gap(host.name, f"{host.label} : preuves", incident["raison"], incident["remede"])]
    gaps = []
    for key, label in host.required.items():
        proof = proofs.get(key)
        if proof and proof["verdict"] == "ok":
            continue
        subject = f"{host.label} : {label}"
        if proof:
            remedy = proof.get("remede") or f"Corriger, puis relancer : {again}."
            gaps.append(_build_gap(host.name, subject, proof["detail"] or "preuve en échec", remedy))
        elif incident:
            gaps.append(_build_gap(host.name, subject, incident["raison"], incident["remede"]))
        elif host.system == "windows":
            remedy = "Ouvrir le site du TdT depuis le poste et joindre la capture au dossier de la commune."
            gaps.append(_build_gap(host.name, subject, "preuve non automatisée sur Windows", remedy))
        else:
            gaps.append(_build_gap(host.name, subject, "preuve non faite", f"Relancer : {again}."))
    return gaps


def _host_gaps(host: HostInfo, run: HostRun | None, last: Mapping[str, Any] | None, again: str) -> list[dict[str, str]]:
    status = _host_status(run)
    if run is None:
        known = f"dernier état : {last['resume']}, {day(last['date'])}" if last else "jamais déployé"
        return [_build_gap(host.name, host.label, f"non vérifié dans ce passage ({known})", f"Lancer : {again}.")]
    remedy = f"Cette machine répond mal, ou ment : la vérifier, puis relancer : {again}."
    refused = [_build_gap(host.name, f"{host.label} : réponse refusée", reason, remedy) for reason in run.refused]
    if status == "deploye":
        return refused or _proof_gaps(host, run, again)
    if run.incident:
        reason, remedy = run.incident["raison"], run.incident["remede"]
        lead = {"injoignable": "injoignable", "echec": "échec", "refus": "refusé"}[run.incident["nature"]]
        where = f" pendant « {PHASES[run.incident['phase']]} »" if status == "injoignable" else ""
        if status == "echec" and run.incident["phase"] == "deploiement" and run.incident["tache"]:
            where = f" de « {run.incident['tache']} »"
        return [*refused, _build_gap(host.name, host.label, f"{lead}{where} : {reason}", remedy)]
    return [
        *refused,
        _build_gap(host.name, host.label, "le déploiement s'est arrêté avant cet hôte", f"Relancer : {again}."),
    ]


def _provers_of(place: str, commune: Commune, run: Run) -> list[tuple[str, dict[str, Any] | None]]:
    """Who proves a place, each with its proof: the connector opens the doors of DOORS, every server of it is asked.

    Of the commune first, then of each entity that it hosts.
    """
    door = place in DOORS
    hosts = [host for host in commune.hosts if host.profile == "tdt_connector"]
    hosts = hosts if door else list(commune.servers.get(place, ()))
    made = {host: run.hosts[host.name].proofs if host.name in run.hosts else [] for host in hosts}
    wanted = [(place if door else commune.slug, "")]
    wanted += [
        (f"{one.slug}.{place}" if door else one.slug, f" ({one.name})")
        for one in commune.entities
        if place in one.places
    ]
    found = [
        (f"{host.label}{whose}", next((one for one in made[host] if one["cle"] == key), None))
        for key, whose in wanted
        for host in hosts
    ]
    return found or [("connecteur de la commune", None)]


def _assess_place(place: str, commune: Commune, run: Run, again: str) -> dict[str, Any]:
    """What this run shows of a commune's place on the servers."""
    servers = commune.servers.get(place, ())
    gaps: list[dict[str, str]] = []
    if place in commune.lacking:
        gaps.append(_build_gap("", PLACES[place], *commune.lacking[place]))
    for info in servers:
        gaps += _host_gaps(info, run.hosts.get(info.name), None, again)
    provers = _provers_of(place, commune, run)
    for label, proof in [] if gaps else provers:
        if proof is None or proof["verdict"] != "ok":
            reason = (proof["detail"] or "preuve en échec") if proof else "preuve non faite"
            remedy = (proof or {}).get("remede") or f"Corriger, puis relancer : {again}."
            gaps.append(_build_gap("", label, reason, remedy))
    proof = provers[0][1]
    for gap in gaps:
        # A server's name would pass for one of the commune's hosts.
        gap["hote"] = ""
        if gap["objet"] != PLACES[place]:
            gap["objet"] = f"{PLACES[place]} : {gap['objet']}"
    concerned = [*servers, *(host for host in commune.hosts if place in DOORS and host.profile == "tdt_connector")]
    states = {_host_status(run.hosts.get(info.name)) for info in concerned}
    told = place in commune.lacking or states & {"echec", "injoignable"} or states <= {"deploye"}
    return {
        "cle": place,
        "libelle": PLACES[place],
        "serveurs": [info.name for info in servers],
        "pour": [commune.slug, *(one.slug for one in commune.entities if place in one.places)],
        "etat": "prouve" if not gaps else "echec" if told else "non_verifie",
        "detail": proof["detail"] if proof and not gaps else gaps[0]["raison"],
        "mesures": proof["mesures"] if proof else {},
        "manques": gaps,
    }


def _is_place_removed(place: str, commune: Commune, run: Run) -> bool:
    """Whether a place that the commune's file no longer asks for was taken back from every server in this run."""
    if run.restriction:
        return False
    return all(_host_status(run.hosts.get(info.name)) == "deploye" for info in commune.servers.get(place, ()))


def _description_gaps(commune: Commune) -> list[dict[str, str]]:
    """A commune that transmits needs a PC and a connector in its file, and its formalities done."""
    gaps = []
    for profile, name in PROFILES.items():
        if not any(host.profile == profile for host in commune.hosts):
            remedy = f"Le décrire dans {(commune.source or {}).get('nom') or commune.slug + '.yml'}."
            gaps.append(_build_gap("", f"{name} de la commune", f"aucun {name} décrit", remedy))
    return gaps + [
        _build_gap("", f"formalité : {one['libelle']}", one["raison"], one["remede"])
        for one in commune.formalities
        if one["etat"] == "manque"
    ]


def _summarize_host(host: HostInfo, run: HostRun, gaps: list[dict[str, str]]) -> str:
    status = _host_status(run)
    if status != "deploye":
        return {"injoignable": "injoignable", "echec": "déploiement en échec"}.get(status, "non atteint")
    return "déployé, preuve manquante" if gaps else "déployé et prouvé"


def assess(
    commune: Commune,
    run: Run,
    last: Mapping[str, Any],
    leaving: Iterable[str] = (),
    held: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Build the evidence of one commune of a run (the content of ``preuve.json``).

    Args:
        last: last known states of its hosts, by name (from `merge_state`).
        leaving: places that it had, and that its file no longer asks for (from `leaving_of`).
        held: places that other runs proved, or not, as they are told in ``services``; this one is not asked for them.
    """
    again = f"fab commune.deployer {commune.slug}"
    hosts, gaps, reserves = [], _description_gaps(commune), []
    for info in commune.hosts:
        host = run.hosts.get(info.name)
        if host:
            for kind in ANSWERS:
                host.receive(kind, [])  # what is there already is judged again
        host_gaps = _host_gaps(info, host, last.get(info.name), again)
        gaps += host_gaps
        if host:
            reserves += [
                {"hote": info.name, "objet": f"{info.label} : {item['libelle']}", "raison": item["detail"]}
                for item in (*host.checks, *host.proofs)
                if item["verdict"] != "ok" and item["cle"] not in info.required
            ]
        record = host or HostRun()
        hosts.append(
            {
                "nom": info.name,
                "profil": info.profile,
                "adresse": info.address,
                "systeme": info.system,
                "etat": _host_status(host),
                "prouve": host is not None and not host_gaps,
                "resume": _summarize_host(info, host, host_gaps) if host else "non vérifié dans ce passage",
                "incident": record.incident,
                "taches": {"executees": record.executed, "changees": record.changed},
                "durees_s": {phase: round(value, 1) for phase, value in record.seconds.items()},
                "controles": record.checks,
                "preuves": record.proofs,
                "fichiers": record.files,
                "certificats": record.certificates,
                "dernier_etat": last.get(info.name) if host is None else None,
                "fini": record.over.isoformat(timespec="seconds") if record.over else None,
            }
        )
    withdrawn = [place for place in leaving if _is_place_removed(place, commune, run)]
    for place in leaving:
        told = (
            "retiré dans ce passage" if place in withdrawn else f"pas encore retiré des serveurs ; relancer : {again}"
        )
        reserves.append({"hote": "", "objet": PLACES[place], "raison": f"n'est plus demandé : {told}"})
    services = [
        dict((held or {}).get(place) or _assess_place(place, commune, run, again))
        for place in PLACES
        if place in commune.places
    ]
    gaps += [gap for service in services for gap in service["manques"]]
    complete = bool(hosts) and all(host["etat"] != "non_vise" for host in hosts) and not run.restriction
    equipped = complete and all(host["etat"] == "deploye" for host in hosts)
    if run.restriction:
        gaps.insert(0, _build_gap("", "passage restreint", run.restriction, f"Lancer sans restriction : {again}."))
    return {
        "version": 1,
        "passage": run.run_id,
        "debut": run.started.isoformat(timespec="seconds"),
        "fin": run.finished.isoformat(timespec="seconds") if run.finished else None,
        "operateur": run.operator,
        "environnement": run.environment,
        "code": run.source,
        "commune": {"slug": commune.slug, **commune.identity},
        "fichier": dict(commune.source) if commune.source else None,
        "complet": complete,
        "equipee": equipped,
        "prete": equipped and not gaps,
        "manques": gaps,
        "reserves": reserves,
        "hotes": hosts,
        "services": services,
        "formalites": [dict(one) for one in commune.formalities],
        "retires": withdrawn,
    }


def leaving_of(places: Iterable[str], known: Mapping[str, Any]) -> list[str]:
    """Places that a commune had, and that its file no longer asks for: servers take them back.

    Args:
        places: those that it asks for.
        known: its last known state (from `merge_state`).
    """
    had = {*_proven_places(known), *known.get("retraits", ())}
    return [place for place in PLACES if place in had - {*places}]


def _proven_places(known: Mapping[str, Any]) -> dict[str, Any]:
    """The places of which the last known state says something."""
    return {place: found for place, found in known.get("services", {}).items() if found}


def remembered(state: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Give the entities that rollouts of a commune met, by slug: nom, siren, and `passage`, the last one that did.

    Args:
        state: what the last rollout knew of a commune (etat.json). Those of before have the commune's file.
    """
    if "entites" in state:
        return {name: dict(one) for name, one in state["entites"].items()}
    last = str(state.get("passage") or "")
    hosted = state.get("commune", {}).get("entites", ()) if last else ()
    return {one["slug"]: {"nom": one["nom"], "siren": one["siren"], "passage": last} for one in hosted}


def _remember_entities(
    commune: Commune, report: Mapping[str, Any] | None, known: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Entities that runs met, one that is no longer in the file among them: life/absent.py asks what became of it."""
    met = {one["slug"]: one for one in commune.identity.get("entites", ()) if report}
    return remembered(known) | {
        slug: {"nom": one["nom"], "siren": one["siren"], "passage": str((report or {})["passage"])}
        for slug, one in met.items()
    }


def _is_after(known: Mapping[str, Any] | None, date: str) -> bool:
    return known is not None and datetime.fromisoformat(known["date"]) > datetime.fromisoformat(date)


def merge_state(
    communes: Iterable[Commune], reports: Mapping[str, Mapping[str, Any]], previous: Mapping[str, Any]
) -> dict[str, Any]:
    """Carry forward the last known state of every commune of the inventory (the content of ``etat.json``).

    A host's state is that of the last run that concluded something about it, whichever ended last: a run gives a
    commune back before its own end. Each keeps its run and its date, so nothing old passes for new.

    Args:
        reports: evidence of this run, by slug.
        previous: the state before this run.
    """
    state: dict[str, Any] = {}
    for commune in communes:
        known = previous.get(commune.slug, {})
        report = reports.get(commune.slug)
        restricted = report and any(gap["objet"] == "passage restreint" for gap in report["manques"])
        whole = None if restricted else report
        before = known.get("hotes", {})
        hosts = {info.name: before[info.name] for info in commune.hosts if info.name in before}
        if whole:
            for host in whole["hotes"]:
                date = host.get("fini") or whole["fin"]
                if host["etat"] in ("deploye", "echec", "injoignable") and not _is_after(hosts.get(host["nom"]), date):
                    hosts[host["nom"]] = {
                        "passage": whole["passage"],
                        "date": date,
                        "deploye": host["etat"] == "deploye",
                        "prouve": host["prouve"],
                        "resume": host["resume"],
                        "manques": [gap for gap in whole["manques"] if gap["hote"] == host["nom"]],
                    }
        services = {place: found for place, found in _proven_places(known).items() if place in commune.places}
        if whole:
            services |= {
                service["cle"]: {
                    "passage": whole["passage"],
                    "date": whole["fin"],
                    "prouve": service["etat"] == "prouve",
                    **{key: service[key] for key in ("serveurs", "pour", "detail", "manques")},
                }
                for service in whole["services"]
                if service["etat"] != "non_verifie"
            }
        gaps = _description_gaps(commune)
        again = f"Lancer : fab commune.deployer {commune.slug}."
        for info in commune.hosts:
            gaps += (
                hosts[info.name]["manques"]
                if info.name in hosts
                else [_build_gap(info.name, info.label, "jamais déployé", again)]
            )
        for place in commune.places:
            gaps += (
                services[place]["manques"]
                if place in services
                else [_build_gap("", PLACES[place], "jamais vérifié", again)]
            )
        every = bool(commune.hosts) and len(hosts) == len(commune.hosts)
        dates = sorted(host["date"] for host in hosts.values())
        equipped = every and all(host["deploye"] for host in hosts.values())
        state[commune.slug] = {
            "commune": {"slug": commune.slug, **commune.identity},
            "passage": report["passage"] if report else known.get("passage"),
            "hotes": hosts,
            "equipee": equipped,
            "prete": equipped and not gaps and all(host["prouve"] for host in hosts.values()),
            "services": {place: services.get(place) for place in commune.places},
            "entites": _remember_entities(commune, report, known),
            "retraits": [
                one for one in leaving_of(commune.places, known) if not report or one not in report["retires"]
            ],
            "depuis": dates[0] if dates else None,
            "dernier": dates[-1] if dates else None,
            "manques": gaps,
        }
    return state
