# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What shows that communes have their place in an application: asked over HTTPS, by its name, as people open it.

The account is the one by which the groupement's own programs work for these communes: nobody's password is known here.
Nothing is made; standard library only.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import labels
from ansible_collections.cdg59.creatic.plugins.module_utils.applications.exchange import basic, send_request
from ansible_collections.cdg59.creatic.plugins.module_utils.applications.mayan_api import Mayan, MayanError
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.host import served
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason as why

TIMEOUT = 60.0  # seconds: the first answer after a start takes a while
Proof = dict[str, Any]
Commune = Mapping[str, str]
_HTTPS_PORT = 443


class PlaceError(CreaticError, cause="place"):
    """No commune's place can be asked for; the message is French, with the fix."""


class Door(http.client.HTTPSConnection):
    """An application's site, opened on its own host by its name, the groupement's authority alone being trusted.

    Args:
        name: DNS name of the site.
        root: PEM of the authority, see `served.roots`.
    """

    def __init__(self, name: str, root: Path, address: str = "127.0.0.1", port: int = _HTTPS_PORT) -> None:
        self._trust = served.trust(root)
        super().__init__(name, port, timeout=TIMEOUT, context=self._trust)
        self._address = address

    def connect(self) -> None:
        """Connect to this host, whatever the name resolves to."""
        raw = socket.create_connection((self._address, self.port), timeout=self.timeout)
        self.sock = self._trust.wrap_socket(raw, server_hostname=self.host)

    def send_request(self, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> tuple[int, Any]:
        """One request; gives its status, and the JSON of its answer (None without one).

        Raises:
            PlaceError: the site does not answer.
        """
        try:
            status, content = send_request(self, method, path, {"Accept": "application/json", **headers}, body)
        except OSError:
            raise PlaceError(f"https://{self.host} a cessé de répondre. {_server_remedy(self.host)}") from None
        try:
            return status, json.loads(content)
        except ValueError:
            return status, None


def _server_remedy(name: str) -> str:
    return f"À faire : fab serveurs, sur la machine de {name}, dit ce qui ne va pas."


def prove(application: str, door: Door, login: str, password: str, communes: Sequence[Commune]) -> list[Proof]:
    """Ask for the place of each commune.

    Args:
        application: a profile of DOORS.
        door: its site.
        login: account by which it is asked.
        password: its password.
        communes: slug, nom and siren of each.

    Returns:
        One proof a commune, whose key is its slug. A site that cannot be asked proves none of them, and says why.
    """
    try:
        _open_site(door)
        return DOORS[application](door, login, password, communes)
    except PlaceError as error:
        reason, _, remedy = str(error).partition(". À faire : ")
        fix = f"{remedy[:1].upper()}{remedy[1:]}"
        return [_make_proof(one, "echec", reason, fix) for one in communes]


def _open_site(door: Door) -> None:
    """Open the site, before anything is asked: in French, for the system's words would be taken for ssh's."""
    try:
        door.connect()
    except ssl.SSLCertVerificationError as error:
        reason = f"présente un certificat qui est refusé ({error.verify_message})"
    except ConnectionRefusedError:
        reason = "ne répond pas : connexion refusée"
    except TimeoutError:
        reason = f"ne répond pas en {TIMEOUT:.0f} s"
    except OSError as error:
        reason = f"ne répond pas : {why(error)}"
    else:
        return
    raise PlaceError(f"https://{door.host} {reason}. {_server_remedy(door.host)}")


def _make_proof(commune: Commune, verdict: str, detail: str, remedy: str = "", **measures: Any) -> Proof:
    return {
        "cle": commune["slug"],
        "libelle": f"Place de {commune['nom']}",
        "verdict": verdict,
        "detail": detail,
        "remede": remedy,
        "mesures": measures,
    }


def _refused_account_error(login: str, name: str, said: str) -> PlaceError:
    return PlaceError(
        f"https://{name} refuse le compte technique « {login} » ({said}) : son mot de passe y a changé, a expiré, ou "
        "ce compte n'y est plus. À faire : rendez-lui le mot de passe qui est dans le dossier secrets du poste de "
        "commande, puis relancez fab serveurs sur cette machine"
    )


def _missing_place_proof(commune: Commune, what: str) -> Proof:
    slug = commune["slug"]
    remedy = f"Vérifier les services de communes/{slug}.yml, puis relancer : fab commune.deployer {slug}."
    return _make_proof(commune, "echec", f"la commune n'y a plus sa place : {what}", remedy)


def _open_session(door: Door, login: str, password: str) -> Mayan:
    mayan = Mayan(door, door.host)
    try:
        mayan.log_in(login, password)
    except MayanError as error:
        if "ne répond pas" in str(error):
            raise PlaceError(f"https://{door.host} a cessé de répondre. {_server_remedy(door.host)}") from None
        raise _refused_account_error(login, door.host, _status_text(error)) from None
    return mayan


def _status_text(error: MayanError) -> str:
    """« HTTP 400 » : what is said beside it may quote what was sent."""
    found = str(error).partition("(")[2].partition(")")[0]
    return f"HTTP {found}" if found.isdecimal() else "sans un mot"


def _prove_ged(door: Door, login: str, password: str, communes: Sequence[Commune]) -> list[Proof]:
    """The types and folders of a commune, among those that the account sees."""
    mayan = _open_session(door, login, password)
    try:
        types = [str(one["label"]) for one in mayan.get("/document_types/")]
        folders = [str(one["full_path"]) for one in mayan.get("/cabinets/")]
    except MayanError as error:
        raise PlaceError(f"https://{door.host} : {error}. {_server_remedy(door.host)}") from None
    proofs = []
    for commune in communes:
        root = labels.own(commune)
        own = sum(labels.same(label, root) for label in types)
        below = sum(path == root or path.startswith(f"{root} / ") for path in folders)
        if own and below:
            detail = f"le compte {login} y voit ses {own} types de documents et ses {below} dossiers"
            proofs.append(_make_proof(commune, "ok", detail, types=own, dossiers=below))
        else:
            proofs.append(
                _missing_place_proof(commune, "ni types de documents ni dossiers" if not own else "aucun dossier")
            )
    return proofs


def _prove_parapheur(door: Door, login: str, password: str, communes: Sequence[Commune]) -> list[Proof]:
    """A deposit that lacks everything but its commune: what is refused of it says whether the commune has circuits."""
    mayan = _open_session(door, login, password)
    proofs = []
    for commune in communes:
        try:
            mayan.post("/creatic/dossiers/", {"commune": commune["slug"]})
            said = ""
        except MayanError as error:
            said = str(error)
        if "commune : " in said:
            proofs.append(_missing_place_proof(commune, "aucun circuit"))
        elif "circuit : " in said:
            detail = f"il prend ses dépôts : celui, vide, du compte {login} n'est refusé que pour ce qui y manque"
            proofs.append(_make_proof(commune, "ok", detail))
        elif "ne répond pas" in said:
            raise PlaceError(f"https://{door.host} a cessé de répondre. {_server_remedy(door.host)}")
        else:
            detail = f"réponse inattendue à un dépôt vide : {said or 'accepté'}"
            proofs.append(
                _make_proof(commune, "echec", detail, _server_remedy(door.host).removeprefix("À faire : ").capitalize())
            )
    return proofs


def _prove_deliberations(door: Door, login: str, password: str, communes: Sequence[Commune]) -> list[Proof]:
    """The page of the commune's institution, once the account is known to be admitted."""
    known = basic(login, password)
    status, _told = door.send_request("GET", "/@adoptees", known)
    if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        raise _refused_account_error(login, door.host, f"HTTP {status}")
    if status != http.client.OK:
        raise PlaceError(
            f"https://{door.host} répond HTTP {status} à la liste des adoptées. {_server_remedy(door.host)}"
        )
    proofs = []
    for commune in communes:
        status, told = door.send_request("GET", f"/{commune['slug']}", known)
        if status == http.client.OK and isinstance(told, dict) and told.get("@type") == "Institution":
            proofs.append(_make_proof(commune, "ok", f"sa page est servie, et le compte {login} y est admis"))
        else:
            proofs.append(_missing_place_proof(commune, f"sa page répond HTTP {status}"))
    return proofs


DOORS: Mapping[str, Callable[[Door, str, str, Sequence[Commune]], list[Proof]]] = {
    "ged": _prove_ged,
    "parapheur": _prove_parapheur,
    "deliberations": _prove_deliberations,
}
"""How each profile is asked."""
