"""Turn what was seen into the words and verdicts of the proof."""

from __future__ import annotations

from typing import Any

from .chromium import Visit
from .store import WARN_DAYS, State

# Chromium's codes, from the most precise to the most general: what it means, what to do.
_ERRORS: tuple[tuple[str, str], ...] = (
    ("ERR_NAME_NOT_RESOLVED", "le nom du TdT est inconnu : vérifier le DNS du poste et l'adresse du TdT"),
    ("ERR_INTERNET_DISCONNECTED", "le poste n'a pas de réseau : vérifier son câble ou son wifi"),
    (
        "ERR_CERT_AUTHORITY_INVALID",
        "le certificat du TdT vient d'une autorité inconnue du poste : ne pas passer outre, "
        "vérifier l'adresse du TdT et relancer le déploiement du poste",
    ),
    ("ERR_SSL_UNRECOGNIZED_NAME_ALERT", "le TdT n'a pas de site à ce nom : vérifier l'adresse du TdT"),
    ("ERR_CERT_COMMON_NAME_INVALID", "le certificat présenté n'est pas celui du TdT : ne pas passer outre"),
    (
        "ERR_CERT_DATE_INVALID",
        "le certificat du TdT est hors de ses dates : vérifier l'heure du poste, puis prévenir le TdT",
    ),
    ("ERR_CERT", "le certificat du TdT n'est pas valable : ne pas passer outre, prévenir le TdT"),
    ("ERR_BAD_SSL_CLIENT_AUTH_CERT", "le TdT refuse le certificat du poste : révoqué, expiré ou d'une autre autorité"),
    (
        "ERR_SSL_CLIENT_AUTH",
        "le poste n'a pas pu se servir de son certificat : vérifier que sa clé est là (jeton branché ?)",
    ),
    ("ERR_CONNECTION_REFUSED", "le TdT ne répond pas (connexion refusée) : il est arrêté, réessayer plus tard"),
    ("ERR_CONNECTION_TIMED_OUT", "le TdT ne répond pas : il est arrêté, ou un pare-feu bloque le poste"),
    ("ERR_TIMED_OUT", "le TdT ne répond pas : il est arrêté, ou un pare-feu bloque le poste"),
    ("ERR_ADDRESS_UNREACHABLE", "le TdT est injoignable depuis ce poste : vérifier le réseau"),
    ("ERR_SSL", "la connexion sécurisée avec le TdT échoue"),
)
# What a web server answers when it refuses a client certificate: nginx says 400, S²LOW and Apache 403.
_REFUSALS = (400, 401, 403, 495, 496)
_QUOTED = 160  # characters of the page


def _failure(visit: Visit, states: list[State]) -> str:
    """Say why no page came, or not the right one; what the PC itself knows comes first."""
    said = " ".join(visit.text.split())[:_QUOTED]
    if visit.error:
        words = next((words for code, words in _ERRORS if code in visit.error), "la page du TdT ne s'ouvre pas")
        seen = f"{words} ({visit.error.removeprefix('net::')})"
    elif visit.status in _REFUSALS:
        seen = (
            f"le TdT répond mais refuse l'accès (HTTP {visit.status}) : "
            "certificat non reconnu, révoqué, ou compte pas encore ouvert au TdT"
        )
    else:
        seen = f"le TdT répond par une erreur (HTTP {visit.status}) : réessayer plus tard, puis prévenir le TdT"
    if said and not visit.error:
        seen += f" ; sa page dit : « {said} »"
    return " ; ".join([*(state.problem for state in states if state.problem), seen])


def browser(visit: Visit, states: list[State], siren: str, url: str, picture: str) -> dict[str, Any]:
    """Return the proof of access."""
    verdict, measures = "echec", {"url": url, "http": visit.status, "duree_s": round(visit.seconds, 2)}
    tokens = [state.wanted.token for state in states if state.wanted.token]
    problems = [state.problem for state in states if state.problem]
    if not states:
        detail = "aucun certificat d'authentification n'est prévu pour ce poste : compléter le fichier de la commune"
    elif visit.waited and problems:
        detail = f"le navigateur n'a pas de certificat à présenter ; {' ; '.join(problems)}"
    elif visit.waited and tokens:
        verdict = "attention"
        detail = (
            f"le jeton « {tokens[0]} » attend son code, que personne n'a pu taper : sur le poste, "
            "lancer /usr/lib/creatic/preuve-navigateur --visible et taper le code"
        )
    elif visit.waited:
        detail = "la page du TdT n'est pas arrivée à temps : TdT trop lent, ou navigateur resté devant une question"
    elif visit.error or visit.status != 200:
        detail = _failure(visit, states)
    elif siren not in "".join(visit.text.split()):
        detail = f"la page du TdT s'ouvre mais ne montre pas le SIREN {siren} : ce n'est pas le compte de la commune"
    else:
        verdict = "ok"
        seconds = f"{visit.seconds:.1f}".replace(".", ",")
        detail = f"le TdT reconnaît le certificat (SIREN {siren}) sans rien demander, en {seconds} s"
    if picture:
        measures["image"] = picture
    return _proof("navigateur", "Navigateur : accès au TdT par certificat", verdict, detail, measures)


def certificate(states: list[State]) -> dict[str, Any]:
    """Return the proof that the certificates can serve, with their days left."""
    measures = {f"{state.wanted.name} (jours)": state.days for state in states}
    problems = [state.problem for state in states if state.problem]
    short = [state for state in states if not state.problem and (state.days or 0) <= WARN_DAYS]
    if not states:
        verdict, detail = "echec", "aucun certificat d'authentification n'est prévu pour ce poste"
    elif problems:
        verdict, detail = "echec", " ; ".join(problems)
    elif short:
        verdict = "attention"
        detail = " ; ".join(f"« {one.wanted.name} » expire le {one.end} : le renouveler" for one in short)
    else:
        verdict = "ok"
        detail = " ; ".join(f"« {one.wanted.name} » valable jusqu'au {one.end}" for one in states)
    return _proof("certificat", "Certificat du poste", verdict, detail, measures)


def _proof(key: str, label: str, verdict: str, detail: str, measures: dict[str, Any]) -> dict[str, Any]:
    return {"cle": key, "libelle": label, "verdict": verdict, "detail": detail, "mesures": measures}
