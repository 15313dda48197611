# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of preflight: the commune's lock, or the server's, services, then the host's checks and clock."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.module_utils.host.preflight import Check, check, check_clock
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

from creatic.check import tdt
from creatic.evidence.store import (
    AlreadyLockedError,
    lock_commune,
    operator,
    playbook_pid,
)
from creatic.registry import profiles


def _check_services(commune: dict[str, Any], groups: Mapping[str, Sequence[str]]) -> list[Check]:
    """A service whose machine left the inventory is told before anything of it is taken away from the commune."""
    lacks = profiles.missing_profiles(commune.get("services", ()), groups)
    if not lacks:
        return []
    told, fix = profiles.lacking_text(lacks, f"communes/{commune['slug']}.yml")
    return [check("services", "Services", "echec", told, fix)]


def _check_journal(variables: Mapping[str, Any], home: Path, there: bool) -> list[Check]:
    """A connector made anew knows nothing of what it sent: its journal comes back before it works again.

    Args:
        variables: of the host.
        home: state of the control node, which has the escrow of machines that are backed up.
        there: whether the host has a journal.
    """
    host = variables["inventory_hostname"]
    escrow = home / "sauvegardes" / host / "sequestre.p7m"
    # Machines of the bench are made anew at will. The profile alone starts nothing: tdt_connector_awaits_journal.
    if there or variables.get("creatic_env") == "lab" or not escrow.is_file():
        return []
    told = "son journal n'est plus là : un acte déjà envoyé, redéposé, partirait une deuxième fois"
    fix = (
        "Remettre d'abord le journal de la sauvegarde (docs/exploitation.md, « Une machine perdue »). S'il n'y en a "
        f"aucune à remettre : comparer au TdT ce qui est déposé, lancer fab machine.appliquer {host} --journal-neuf, "
        "puis relancer"
    )
    return [check("journal", "Journal du connecteur", "echec", told, fix)]


def _check_tdt(variables: Mapping[str, Any], args: Mapping[str, Any]) -> list[Check]:
    """A PC none of whose certificates the TdT takes is told before it changes; nothing where the TdT does not say.

    Args:
        variables: of the host.
        args: of the task.
    """
    accepted, poste, commune = args["tdt_authorities"], variables.get("creatic_poste"), variables["creatic_commune"]
    if not accepted or not poste:
        return []
    authority, secrets = Path(args["pki_dir"]) / "publie" / "ca.pem", Path(args["secrets_dir"])
    problem = tdt.problem(accepted, poste["certificats"], commune, authority.expanduser(), secrets.expanduser())
    label = "Autorité admise par le TdT"
    if not problem:
        return [check("tdt", label, "ok", "le TdT n'en refuse pas, pour ce qu'il en dit")]
    return [check("tdt", label, "echec", *problem)]


def _judge_checks(result: dict[str, Any], checks: list[Check]) -> dict[str, Any]:
    result["creatic_preflight"] = checks
    failures = [f"{item['detail']}. {item['remede']}" for item in checks if item["verdict"] == "echec"]
    if failures:
        result["failed"] = True
        result["msg"] = " ".join(failures)
    return result


class ActionModule(Acting):
    """Runs the module between two readings of the clock."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        commune = task_vars.get("creatic_commune")
        server = task_vars.get("creatic_profil") in profiles.marked("serveur")
        if not server and (not isinstance(commune, dict) or not commune.get("slug")):
            raise AnsibleActionFail(
                f"{task_vars['inventory_hostname']} : cet hôte n'appartient à aucune commune ; "
                "le décrire dans communes/<commune>.yml"
            )
        if not args.get("home"):
            raise AnsibleActionFail("preflight : le paramètre home est obligatoire")
        if not self._task.check_mode:
            what = "" if commune else f"un déploiement de {task_vars['inventory_hostname']}"
            refusal = self._take_lock(
                commune["slug"] if commune else f"serveur-{task_vars['inventory_hostname']}", what
            )
            if refusal:
                return refusal

        checks = _check_services(commune, task_vars["groups"]) if commune else []
        given = {name: args.pop(name, "") for name in ("tdt_authorities", "pki_dir", "secrets_dir")}
        checks += _check_tdt(task_vars, given) if commune else []
        if (task_vars.get("creatic_poste") or {}).get("systeme") == "windows":
            detail = "les contrôles ne sont pas automatisés sur Windows"
            checks.append(check("systeme", "Système", "attention", detail, "Vérifier le poste à la main."))
            return _judge_checks({"changed": False}, checks)
        before = time.time()
        result = self._execute_module(module_name="cdg59.creatic.preflight", module_args=args, task_vars=task_vars)
        after = time.time()
        if "creatic_preflight" not in result:
            return result
        checks += [*result["creatic_preflight"], check_clock(before, float(result.pop("now")), after)]
        journal = bool(result.pop("connector_journal"))
        if task_vars.get("creatic_profil") == "tdt_connector":
            checks += _check_journal(task_vars, Path(args["home"]).expanduser(), journal)
        return _judge_checks(result, checks)

    def _take_lock(self, name: str, what: str) -> dict[str, Any]:
        locks = Path(self._task.args["home"]).expanduser() / "verrous"
        try:
            lock_commune(locks, name, playbook_pid(), operator(), what)
        except AlreadyLockedError as error:
            return {
                "failed": True,
                "creatic_lock_refused": True,
                "msg": f"{error}. Attendre sa fin, puis relancer.",
            }
        except OSError as error:
            raise AnsibleActionFail(f"le dossier {locks} n'est pas utilisable : {reason(error)}") from error
        return {}
