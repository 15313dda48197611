# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What clerks' PCs sign of themselves (``creatic-poste constats``): verified here, kept, and judged by level.

Nobody reaches these PCs: their facts come by the enrolment door, which may be taken and is believed nothing. They count
by the certificate that the registry issued for that very PC. What is wrong with one is its PC's fault alone. Kept in
the state's folder ``postes/constats``::

    gondecourt-pc-secretariat.json    the last ones that were taken, as they were signed, and by which certificate
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import AnswerError, checked
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import load_certificate
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from creatic.audit.controls import LEVELS
from creatic.audit.releves import CLOCKS, lapse
from creatic.audit.sources import CONFORME, DEROGATION, NON_CONFORME, NON_VERIFIE
from creatic.pki.registry import REVOKED, Registry
from creatic.registry.checked_yaml import ProblemsError, Source
from creatic_agent.proof import signed_by

KIND = "creatic constats"
PROFILE = "commune_pc"
FOLDER = "postes/constats"
LARGEST = 64 << 10
"""Bytes of what a PC sends, signature included; the door takes half."""
STALE = dt.timedelta(days=8)
"""Age from which a PC is said to be silent: a week, and a day. Unlike a server, it is off when nobody is there."""
RULE = "poste_"
"""What comes before a measure's name in a waiver's ``regles``."""
JUDGED, SILENT, NEVER, REFUSED, AWAY = "constate", "silencieux", "jamais", "refuse", "injoignable"
STATES = {
    JUDGED: "constaté",
    SILENT: "silencieux",
    NEVER: "n'a jamais rien dit",
    REFUSED: "constats refusés",
    AWAY: "constats non demandés",
}
_MEASURES_FILE = Path(__file__).with_name("postes.yml")
_MEASURES_SCHEMA = Path(__file__).with_name("postes.schema.json")
_UPDATED_DAYS = 45  # Microsoft's month, and a fortnight
_LOCKED_S = 900
_CLOCK_S = 300


class InvalidFactsError(CreaticError, cause="constats"):
    """A PC's facts do not count; the message (French) says why, and what to do."""


class MeasuresError(ProblemsError, cause="mesures"):
    """postes.yml is refused; the message (French) names each field and fix."""


# -- facts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signer:
    """A certificate that the registry issued for a PC."""

    place: str
    serial: str
    revoked: bool
    certificate: x509.Certificate


@dataclass(frozen=True)
class Facts:
    """What a PC signed of itself, once it is known to be its word.

    Attributes:
        raw: as it came: ``signe`` and ``signature``.
        told: what is signed (answers.schema.json, ``constats_poste``).
        digest: SHA-256 of what is signed.
    """

    raw: bytes
    told: Mapping[str, Any]
    digest: str
    signer: str

    @property
    def made_at(self) -> dt.datetime:
        """When they were made, by the PC's clock."""
        return dt.datetime.fromisoformat(self.told["fait"])

    def age(self, now: dt.datetime) -> dt.timedelta:
        """How old they are."""
        return max(now - self.made_at, dt.timedelta(0))


def signers(folder: Path, places: Mapping[str, str]) -> dict[str, Signer]:
    """Certificates of PCs, by SHA-256: a name that was another commune's gives this one none of its certificates.

    Args:
        folder: of the authority.
        places: PCs of the inventory, each with its commune's SIREN.

    Raises:
        PkiError: the registry cannot be read.
    """
    with Registry(folder).open() as book:
        rows = [row for row in book.rows("profil = 'client'") if places.get(row["hote"]) == row["siren"]]
    found = {}
    for row in rows:
        certificate = load_certificate(row["pem"])
        name = certificate.fingerprint(hashes.SHA256()).hex()
        found[name] = Signer(row["hote"], row["serie"], row["statut"] == REVOKED, certificate)
    return found


def read(raw: bytes, name: str, signer: Signer) -> Facts:
    """Facts, once they are known to be a PC's word.

    Args:
        name: of the certificate that signed, SHA-256.

    Raises:
        Refused: they are not.
    """
    if len(raw) > LARGEST:
        raise InvalidFactsError(
            f"ses constats dépassent {LARGEST >> 10} Kio, et ne sont pas lus : voyez ce que ce poste envoie"
        )
    try:
        kept = json.loads(raw.decode())
        text, signature = kept["signe"], base64.b64decode(kept["signature"], validate=True)
        signed = text.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidFactsError(
            "ses constats sont illisibles, et ne comptent pas : « creatic-poste constats » en refait"
        ) from None
    if not signed_by(signer.certificate.public_key(), signature, signed):
        raise InvalidFactsError(
            "ses constats ne sont pas signés par son certificat, et ne comptent pas : voyez qui les a envoyés, et au "
            "besoin révoquez ce certificat"
        )
    if signer.revoked:
        raise InvalidFactsError("ses constats sont signés par un certificat révoqué, et ne comptent pas")
    try:
        told = json.loads(text)
        if told["quoi"] != KIND or told["poste"] != signer.place or told["serie"] != signer.serial:
            who = harmless.line(str(told["poste"])[:64])
            raise InvalidFactsError(
                f"son certificat signe les constats de « {who} », qui ne comptent pas : il a le fichier d'un autre"
            )
        told = checked("constats_poste", told)
    except AnswerError as error:
        raise InvalidFactsError(f"ses constats sont signés, mais n'en sont pas, et ne comptent pas : {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidFactsError("ce que ce poste a signé n'est pas des constats, et ne compte pas") from None
    facts = Facts(raw, told, hashlib.sha256(signed).hexdigest(), name)
    certificate = signer.certificate
    if not certificate.not_valid_before_utc - CLOCKS <= facts.made_at <= certificate.not_valid_after_utc:
        raise InvalidFactsError("ses constats sont datés d'un jour où son certificat ne valait pas, et ne comptent pas")
    return facts


def check_new(facts: Facts, last: Facts | None, now: dt.datetime) -> None:
    """Raise Refused: facts come from the future, or are replayed."""
    if facts.made_at - now > CLOCKS:
        raise InvalidFactsError(
            f"ses constats sont datés de l'avenir ({lapse(facts.made_at - now)} d'avance), et ne comptent "
            "pas : mettez ce "
            "poste à l'heure"
        )
    if last is None or last.digest == facts.digest:
        return
    again = last.signer == facts.signer and facts.told["numero"] <= last.told["numero"]
    if again or facts.made_at < last.made_at:
        raise InvalidFactsError(
            f"ses constats sont d'avant ceux du {last.made_at:%d/%m/%Y} qui sont déjà ici, et ne comptent "
            "pas : quelqu'un "
            "les rejoue, ou le poste vient d'une sauvegarde"
        )


@dataclass
class KnownFacts:
    """What is known of a PC.

    Attributes:
        state: one of `STATES`.
        reason: why nothing is judged, or a remark (French).
        facts: that are judged, or the last ones of a PC that is silent.
    """

    state: str
    reason: str = ""
    facts: Facts | None = None


class FactsStore:
    """The last facts of each PC, in the control node's state: what replay and silence are known by."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _facts_path(self, place: str) -> Path:
        return self._folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', place).lstrip('.')}.json"

    def last(self, place: str, known: Mapping[str, Signer]) -> Facts | None:
        """The last ones that were taken; None when there are none, or they no longer count."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, InvalidFactsError):
            kept = json.loads(self._facts_path(place).read_text(encoding="utf-8"))
            signer = known[kept["certificat"]]
            return read(kept["constats"].encode(), kept["certificat"], signer) if signer.place == place else None
        return None

    def save_facts(self, place: str, facts: Facts) -> None:
        """Keep those that were taken."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {"certificat": facts.signer, "constats": facts.raw.decode()}
        write(self._facts_path(place), json.dumps(kept, ensure_ascii=False).encode(), 0o600)

    def forget_others(self, places: Iterable[str]) -> None:
        """Delete what is kept of PCs that are no longer in the inventory."""
        wanted = {self._facts_path(place).name for place in places}
        for path in self._folder.glob("[!.]*.json"):
            if path.name not in wanted:
                path.unlink()


def gather(
    places: Mapping[str, str],
    folder: Path,
    brought: Callable[[], Iterable[tuple[str, bytes]]],
    kept: FactsStore,
    now: dt.datetime,
) -> dict[str, KnownFacts]:
    """What is known of each PC; what could not be asked, or is wrong, is told of it, and the others stand.

    Args:
        places: PCs of the inventory, each with its commune's SIREN.
        folder: of the authority.
        brought: gives what the door has, by certificate (SHA-256).
    """
    away, known = "", dict[str, Signer]()
    candidates: dict[str, list[Facts]] = {}
    wrong: dict[str, list[str]] = {}
    try:
        known = signers(folder, places)
        for name, raw in brought():
            if name not in known:  # of a PC that left, or that another inventory has
                continue
            try:
                candidates.setdefault(known[name].place, []).append(read(raw, name, known[name]))
            except InvalidFactsError as error:
                wrong.setdefault(known[name].place, []).append(str(error))
    except CreaticError as error:
        away = harmless.line(str(error))
    found = {}
    for place in places:
        last, taken = kept.last(place, known), None
        for one in sorted(candidates.get(place, ()), key=lambda one: one.made_at, reverse=True):
            try:
                check_new(one, last, now)
            except InvalidFactsError as error:
                wrong.setdefault(place, []).append(str(error))
                continue
            taken = one
            kept.save_facts(place, one)
            break
        found[place] = _build_known(taken, last, wrong.get(place, []), away, now)
    return found


def _build_known(
    taken: Facts | None, last: Facts | None, wrong: Sequence[str], away: str, now: dt.datetime
) -> KnownFacts:
    facts = taken or last
    reason = " ; ".join(dict.fromkeys(wrong)) or (f"la porte n'a pas répondu ({away})" if away else "")
    if facts is None:
        return KnownFacts(REFUSED if wrong else AWAY if away else NEVER, reason or "aucun constat reçu de ce poste")
    if facts.age(now) > STALE:
        since = f"ses derniers constats ont {lapse(facts.age(now))} ({facts.made_at:%d/%m/%Y})"
        return KnownFacts(SILENT, f"{since}. {reason}" if reason else since, facts)
    if taken is None and not reason:
        reason = "la porte n'a plus ces constats, ou en a de plus anciens : ce sont ceux qui étaient déjà ici"
    return KnownFacts(JUDGED, reason, facts)


# -- measures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """What is asked of a PC; see postes.yml.

    Attributes:
        fonde: where the rule stands, short.
        sources: names of these.
    """

    nom: str
    niveau: str
    titre: str
    demande: str
    agir: str
    fonde: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Measures:
    """The whole file."""

    sources: Mapping[str, Mapping[str, str]]
    measures: Sequence[Measure]
    windows: Sequence[Mapping[str, Any]] = field(repr=False)
    debian: Sequence[Mapping[str, Any]] = field(repr=False)

    def level_measures(self, level: str) -> list[Measure]:
        """Measures that a level asks for: its own and those of the levels below."""
        return [one for one in self.measures if LEVELS.index(one.niveau) <= LEVELS.index(level)]


@functools.cache
def measures(path: Path = _MEASURES_FILE) -> Measures:
    """Read the file.

    Raises:
        MeasuresError: a source that does not exist, a measure that nothing here compares, or twice there.
    """
    source = Source(path.name, path.read_bytes())
    data = source.read() or {}
    if not source.problems:
        source.check_schema(data, _MEASURES_SCHEMA)
    for rank, one in enumerate(data.get("mesures", ()) if not source.problems else ()):
        if one["nom"] not in _JUDGES or one["nom"] in [other["nom"] for other in data["mesures"][:rank]]:
            fix = f"gardez une fois l'une de : {', '.join(_JUDGES)}"
            source.report(f"rien ne juge « {one['nom']} », ou elle est déjà là", fix, ("mesures", rank, "nom"))
        for number, basis in enumerate(one["fonde"]):
            if basis["source"] not in data["sources"]:
                fix = f"écrivez l'une de : {', '.join(data['sources'])}"
                source.report("cette source n'est pas dans sources", fix, ("mesures", rank, "fonde", number, "source"))
    if source.problems:
        raise MeasuresError(source.problems)

    def stands(basis: Iterable[Mapping[str, str]]) -> str:
        return " ; ".join(
            ", ".join(filter(None, (data["sources"][one["source"]]["sigle"], one.get("ou", "")))) for one in basis
        )

    found = [
        Measure(
            **{name: one[name] for name in ("nom", "niveau", "titre", "demande", "agir")},
            fonde=stands(one["fonde"]),
            sources=tuple(basis["source"] for basis in one["fonde"]),
        )
        for one in data["mesures"]
    ]
    return Measures(data["sources"], found, data["windows"], data["debian"])


_Verdict = tuple[bool | None, str]
"""Whether it is followed (None: nothing tells), and what was read (French)."""


def _format_date(text: str) -> str:
    return f"{dt.datetime.fromisoformat(text):%d/%m/%Y}"


def _judge_system(value: Mapping[str, Any], facts: Facts, known: Measures) -> _Verdict:
    name, kind = f"{value['nom']} {value['version']}", "fin"
    if value["famille"] == "windows":
        row = next((one for one in known.windows if one["build"] == value.get("build")), None)
        name, edition = f"{name} (build {value.get('build', 0)})", value.get("edition", "")
        if edition.startswith(("Enterprise", "Education")):
            kind = "ltsc" if edition.endswith(("EnterpriseS", "EnterpriseSN")) else "longue"
    else:
        of_debian = known.debian if value["famille"] == "debian" else ()
        row = next((one for one in of_debian if one["version"] == value["version"]), None)
    if row is None:
        return None, f"{name} : ce référentiel ne connaît pas la fin de sa maintenance"
    end = str(row.get(kind, row["fin"]))
    good = facts.made_at.date() <= dt.date.fromisoformat(end)
    paid = "" if good else ", sauf prolongation payée, qui ne se lit pas"
    return good, f"{name} : corrigé jusqu'au {_format_date(end)}{paid}"


def _judge_updates(value: Mapping[str, Any], facts: Facts, _known: Measures) -> _Verdict:
    days = (facts.made_at - dt.datetime.fromisoformat(value["derniere"])).days
    waits = " ; un redémarrage attend" if value["redemarrage"] else ""
    return (
        days <= _UPDATED_DAYS,
        f"dernière mise à jour le {_format_date(value['derniere'])} ({count(days, 'jour')}){waits}",
    )


def _judge_antivirus(value: Mapping[str, Any], _facts: Facts, _known: Measures) -> _Verdict:
    words = {"bonne": "en marche et à jour", "mauvaise": "arrêté, ou pas à jour", "en_pause": "en pause"}
    return value["sante"] == "bonne", f"{words.get(value['sante'], 'non surveillé')} ({value['source']})"


def _judge_firewall(value: Mapping[str, Any], _facts: Facts, _known: Measures) -> _Verdict:
    off = [name for name in ("domaine", "prive", "public") if not value[name]]
    shown = {"prive": "privé"}
    return not off, f"arrêté sur : {', '.join(shown.get(one, one) for one in off)}" if off else "en marche partout"


def _judge_administrators(value: Mapping[str, Any], _facts: Facts, _known: Measures) -> _Verdict:
    active = [one["nom"] for one in value["membres"] if one["actif"]]
    told = f"{count(len(active), 'compte')} administrateur{'s' if len(active) > 1 else ''} : {', '.join(active[:5])}"
    return not value["session"], told + (" ; celui de cette session en est" if value["session"] else "")


def _judge_locking(value: Mapping[str, Any], _facts: Facts, _known: Measures) -> _Verdict:
    if not value["apres_s"] or not value["mot_de_passe"]:
        return False, "ni limite d'inactivité, ni économiseur d'écran qui demande le mot de passe"
    return value["apres_s"] <= _LOCKED_S, f"après {count(value['apres_s'] // 60, 'minute')}"


def _judge_sharing(value: Mapping[str, Any], _facts: Facts, _known: Measures) -> _Verdict:
    where = [word for name, word in (("client", "vers d'autres"), ("serveur", "ouvert aux autres")) if value[name]]
    return not where, f"SMBv1 {' et '.join(where)}" if where else "SMBv1 fermé"


def _judge_encryption(value: Mapping[str, Any], _facts: Facts, _known: Measures) -> _Verdict:
    return value["systeme"], "chiffré" if value["systeme"] else "en clair"


def _judge_clock(value: Mapping[str, Any], _facts: Facts, _known: Measures) -> _Verdict:
    gap = value["ecart_s"]
    ahead = "en avance" if gap > 0 else "en retard"
    return abs(gap) <= _CLOCK_S, f"{abs(gap)} s {ahead}" if gap else "juste"


def _judge_certificates(value: Sequence[Mapping[str, Any]], facts: Facts, _known: Measures) -> _Verdict:
    bad = [f"{one['nom']} : {one['etat']}" for one in value if one["etat"] not in ("installe", "jeton")]
    above = facts.told["constats"].get("autorites", {}).get("valeur")  # not told under Linux, whose role puts them
    bad += [f"absente : {one}" for one in above["absentes"]] if above else []
    return not bad, " ; ".join(bad[:5]) or count(len(value), "certificat")


_JUDGES: dict[str, Callable[[Any, Facts, Measures], _Verdict]] = {
    "systeme": _judge_system,
    "mises_a_jour": _judge_updates,
    "antivirus": _judge_antivirus,
    "pare_feu": _judge_firewall,
    "administrateurs": _judge_administrators,
    "verrouillage": _judge_locking,
    "smb1": _judge_sharing,
    "chiffrement": _judge_encryption,
    "horloge": _judge_clock,
    "certificats": _judge_certificates,
}


def judge(measure: Measure, known: KnownFacts, every: Measures) -> tuple[str, str]:
    """The verdict of a measure on a PC, and what was read (French). What was not read is « non vérifié »."""
    if known.state != JUDGED or known.facts is None:
        return NON_VERIFIE, STATES[known.state]
    fact = known.facts.told["constats"].get(measure.nom, {"non_lu": "le programme de ce poste ne le dit pas"})
    if "valeur" not in fact:
        return NON_VERIFIE, f"non lu : {fact['non_lu']}"
    good, told = _JUDGES[measure.nom](fact["valeur"], known.facts, every)
    return {True: CONFORME, False: NON_CONFORME, None: NON_VERIFIE}[good], harmless.line(told)


def describe_pc(known: KnownFacts, level: str, waived: Callable[[str], Any], now: dt.datetime) -> dict[str, Any]:
    """What an audit says of a PC: ``etat``, ``raison``, ``releve``, ``espace``, and each measure of its level.

    Args:
        waived: gives the waiver in force for a measure, under the name that a waiver calls it.
    """
    every, found = measures(), dict[str, Any]()
    for one in every.level_measures(level):
        verdict, detail = judge(one, known, every)
        waiver = waived(RULE + one.nom) if verdict == NON_CONFORME else None
        found[one.nom] = {
            "verdict": DEROGATION if waiver else verdict,
            "dit": detail,
            "derogation": {"motif": waiver.motif, "responsable": waiver.responsable, "fin": str(waiver.fin)}
            if waiver
            else None,
        }
    facts = known.facts
    return {
        "etat": known.state,
        "raison": known.reason,
        "releve": {
            "fin": facts.told["fait"],
            "age_s": int(facts.age(now).total_seconds()),
            "numero": facts.told["numero"],
            "sha256": facts.digest,
            "ordinateur": facts.told["nom"],
            "disque": facts.told["constats"].get("disque", {}).get("valeur"),
        }
        if facts
        else None,
        "mesures": found,
    }


def summary(machines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The measures that an audit judged, each with its PCs, and their sources."""
    every = measures()
    judged = {one["nom"]: one["poste"]["mesures"] for one in machines if one.get("poste")}
    asked = [one for one in every.measures if any(one.nom in found for found in judged.values())]
    return {
        "mesures": [
            {
                **{name: getattr(one, name) for name in ("nom", "niveau", "titre", "demande", "agir", "fonde")},
                "machines": {name: found[one.nom] for name, found in judged.items() if one.nom in found},
            }
            for one in asked
        ],
        "sources": [dict(every.sources[name]) for name in dict.fromkeys(name for one in asked for name in one.sources)],
    }
