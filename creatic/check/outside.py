# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the control node itself can try before a machine changes: SSH, names, packages, mail relays, the TdT."""

from __future__ import annotations

import contextlib
import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip

from creatic.audit.scap import ScapError, mirrors, opener
from creatic.check import reach
from creatic.check.flows import MET, Machine

SITE_TIMEOUT_SECONDS = 20.0
"""Seconds that a site has to answer."""
_MAX_REASON_LENGTH = 120  # characters of what is no answer
_MAX_PARALLEL_TRIALS = 32  # trials at a time
_UNNAMED = "ce nom n'est connu d'aucun serveur de noms du poste de commande"


@dataclass(frozen=True)
class Trial:
    """One thing to try.

    Attributes:
        what: it, in French.
        run: tries it; "" when it is good, else the French reason.
        fix: what to do when it is not.
        is_sure: the machines will meet the same; else only the control node may.
    """

    what: str
    run: Callable[[], str]
    fix: str
    is_sure: bool = True


def trials(inventory: Mapping[str, Any], known: Iterable[Machine]) -> list[Trial]:
    """Give what is to be tried.

    Args:
        inventory: what ``ansible-inventory --list`` gives.
        known: its machines (`flows.machines`).
    """
    hostvars = inventory["_meta"]["hostvars"]
    given = [(name, hostvars.get(name, {})) for name in sorted(one.name for one in known if one.is_reached)]
    return [*_inventory_trials(given), *_name_trials(given), *_package_trials(), *_machine_side_trials(given)]


def unmet(asked: Sequence[Trial]) -> tuple[list[str], list[str]]:
    """Try everything, side by side; gives the lines of what will fail, then of what may."""
    with ThreadPoolExecutor(_MAX_PARALLEL_TRIALS) as threads:
        said = [*threads.map(lambda one: one.run(), asked)]
    lines = [
        (one.is_sure, f"{one.what} : {why}. À faire : {one.fix}") for one, why in zip(asked, said, strict=True) if why
    ]
    return [line for sure, line in lines if sure], [line for sure, line in lines if not sure]


def _inventory_trials(given: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Trial]:
    for name, own in given:
        place = (str(own.get("ansible_host", name)), int(own.get("ansible_port", 22)))
        fix = "allumez la machine, et ouvrez-lui le réseau depuis le poste de commande"
        yield Trial(f"{name}, SSH ({place[0]}, port {place[1]})", partial(_try_connection, place), fix)


def _name_trials(given: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Trial]:
    names = {str(one): (host, own) for host, own in given for one in own.get("creatic_names", [])}
    fix = "si les communes ont un autre serveur de noms, vérifiez qu'il les donne"
    yield Trial("noms des machines", partial(_try_resolution, [*names]), fix, is_sure=False)
    for name, (host, own) in names.items():
        with contextlib.suppress(ValueError):
            address = str(ip.address(str(own.get("ansible_host", host))))
            fix = f"au serveur de noms, donnez-lui {address}, ou corrigez l'adresse dans servers.yml"
            yield Trial(f"{host}, nom {name}", partial(_try_dns_record, name, address), fix)


def _package_trials() -> Iterator[Trial]:
    fix = "ouvrez-le au poste de commande, ou configurez le mandataire et le miroir que vous avez"
    try:
        for uri in mirrors():
            yield Trial(f"paquets de Debian ({uri})", partial(_try_site, uri, opener()), fix)
    except ScapError as error:
        yield Trial("paquets de Debian", partial(str, error), fix)
    sites = [("Python", url) for url in locked_venv.index()]
    sites += [("npm", url) for url in locked_venv.npm_registry("NPM_CONFIG_REGISTRY").values()]
    for kind, url in sites:
        place = urllib.parse.urlsplit(url)
        bare = place._replace(netloc=place.netloc.rpartition("@")[2]).geturl()  # whoever is let in, it is there
        yield Trial(f"paquets de {kind} ({bare})", partial(_try_site, bare, urllib.request.build_opener()), fix)


def _machine_side_trials(given: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Trial]:
    """What machines reach by themselves, which may let in no control node."""
    fix = "si le poste de commande n'y a pas droit, « fab reseau --essayer » le demandera aux machines"
    relays = {
        (str(own[name]), int(own.get(f"{name.removesuffix('relay')}port", 25)))
        for _host, own in given
        for name in own
        if name.endswith("_mail_relay") and own[name]
    }
    for place in sorted(relays):
        yield Trial(
            f"relais de courriel ({place[0]}, port {place[1]})",
            partial(_try_connection, place),
            fix,
            is_sure=False,
        )
    for url in sorted({str(own["creatic_tdt_url"]) for _host, own in given if own.get("creatic_tdt_url")}):
        parts = urllib.parse.urlsplit(url)
        place = (str(parts.hostname), parts.port or 443)
        yield Trial(f"TdT ({url})", partial(_try_connection, place), fix, is_sure=False)


def _try_connection(place: tuple[str, int]) -> str:
    error = reach.reach(place) if _resolve_addresses(place[0]) else _UNNAMED
    return MET.get(error, error)


def _resolve_addresses(name: str) -> set[str]:
    try:
        return {str(ip.address(str(found[4][0]).partition("%")[0])) for found in socket.getaddrinfo(name, None)}
    except (OSError, UnicodeError):
        return set()


def _try_resolution(names: Iterable[str]) -> str:
    found = [name for name in names if not _resolve_addresses(name)]
    return f"inconnus des serveurs de noms du poste de commande : {', '.join(found)}" if found else ""


def _try_dns_record(name: str, address: str) -> str:
    found = _resolve_addresses(name)
    return f"il mène à {', '.join(sorted(found))}, et non à {address}" if found and address not in found else ""


def _try_site(url: str, opener: urllib.request.OpenerDirector) -> str:
    """Ask a site for something; whatever it says of it, it is there, unless it says that it is not."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - of this machine's own configuration
    try:
        with opener.open(request, timeout=SITE_TIMEOUT_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"il répond {error.code}" if error.code in (403, 407) or error.code >= 500 else ""
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):
            return _UNNAMED
        return f"pas de réponse ({error.reason})"
    except (OSError, http.client.HTTPException, ValueError) as error:  # what is no answer, or leads to no address
        return f"pas de réponse ({type(error).__name__} : {str(error)[:_MAX_REASON_LENGTH]})"
