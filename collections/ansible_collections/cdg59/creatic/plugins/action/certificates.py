# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of certificates: has the authority sign what the host asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.utils.display import Display
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request
from ansible_collections.cdg59.creatic.plugins.plugin_utils.own_state import OwnState

from creatic.pki.authority import Authority
from creatic.pki.extract import Extract
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner

MODULE = "cdg59.creatic.certificates"


class ActionModule(OwnState):
    """Runs the module to inspect, signs, and runs it again to install when something was signed."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        host = str(task_vars["inventory_hostname"])
        passphrase = args.pop("passphrase", None)
        directory = Path(str(args.get("authority_dir") or "")).expanduser()
        if not args.get("authority_dir"):
            raise PkiError("certificates, champ authority_dir : manquant")
        authority: Authority | Extract = Authority(directory, Passphrases(directory, {"emettrice": passphrase}))
        if Extract.there(directory):  # this is the machine itself, which nobody reaches
            authority = Extract(directory)
        requests = self._parse_requests(args)
        self.check_sirens(requests.values(), task_vars)
        if self._task.check_mode and not authority.exists:
            # The authority is made by an earlier task, which check mode did not run.
            return {
                "changed": True,
                "certificates": [],
                "renewed": list(requests),
                "crl_changed": True,
                "authorities": [],
                "absent": False,
            }
        return self._converge_certificates(authority, requests, args, host, task_vars)

    @staticmethod
    def _parse_requests(args: dict[str, Any]) -> dict[str, Request]:
        found: dict[str, Request] = {}
        for entry in args.get("certificates") or []:
            request = Request.from_dict(entry, args.get("key_type") or "ecdsa")
            if request.name in found:
                raise PkiError(f"certificat « {request.name} » demandé deux fois : donnez-lui un autre nom")
            found[request.name] = request
        return found

    def _converge_certificates(
        self,
        authority: Authority | Extract,
        requests: dict[str, Request],
        args: dict[str, Any],
        host: str,
        task_vars: dict[str, Any],
    ) -> dict[str, Any]:
        if not self._task.check_mode:
            authority.refresh_crl()
        known = authority.known_to(host)
        groups = {entry["name"]: entry.get("group") for entry in args.get("certificates") or []}
        plan: dict[str, Any] = authority.published() | {
            "store_name": f"creatic-{authority.directory.name}",
            "roots": authority.roots(),
            "issued": {},
            "certificates": [
                {"request": request.to_dict(), "group": groups[name]} | known.get(name, {})
                for name, request in requests.items()
            ],
        }
        first = self._execute_module(module_name=MODULE, module_args=args | {"plan": plan}, task_vars=task_vars)
        for one in first.get("newer_lists", []):
            Display().warning(
                f"{host}, liste de révocation de {one}. Un autre poste de commande agit avec le même état, ou celui-ci "
                "est revenu d'une sauvegarde plus ancienne : des révocations peuvent manquer. À faire : « Changer de "
                "poste de commande », docs/exploitation.md."
            )
        states = {state["name"]: state for state in first.pop("states", [])}
        first["certificates"] = [_public_state(state) for state in states.values()]
        asking = {name: state["csr"] for name, state in states.items() if state["csr"]}
        if first.get("failed") or not asking:
            return first
        owner = Owner(host, str(args.get("commune") or ""))
        if isinstance(authority, Extract):
            plan["issued"] = authority.issued(asking)
            if not plan["issued"]:
                return first
        else:
            plan["issued"] = {name: authority.issue(csr, requests[name], owner).pem for name, csr in asking.items()}
        second = self._execute_module(module_name=MODULE, module_args=args | {"plan": plan}, task_vars=task_vars)
        if second.get("failed"):
            return second
        for state in second["states"]:
            states[state["name"]] = state | {"reason": states[state["name"]]["reason"]}
        first["certificates"] = [_public_state(state) for state in states.values()]
        first["diff"] = [*first.get("diff", []), *second.get("diff", [])]
        return first


def _public_state(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != "csr"}
