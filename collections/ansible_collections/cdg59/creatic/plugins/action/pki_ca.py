# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Makes and runs an authority, in the control node's own Python: no connection, no other interpreter."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from ansible.utils.display import Display
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.host import HostStore
from ansible_collections.cdg59.creatic.plugins.modules.pki_ca import SPEC
from ansible_collections.cdg59.creatic.plugins.plugin_utils.own_state import OwnState

from creatic.pki import own
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.renewal import Machines, advance
from creatic.pki.x509 import Settings, ensure_p12

POLICY_ARC = "1.3.6.1.4.1.59999.59.1"
SETTINGS = [field.name for field in fields(Settings)]


class ActionModule(OwnState):
    """Does everything in `act`; nothing is sent anywhere."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        _, args = self.validate_argument_spec(argument_spec=SPEC)
        directory = Path(args["dir"]).expanduser().absolute()
        given = {"racine": args["passphrase_racine"], "emettrice": args["passphrase_emettrice"]}
        authority = Authority(directory, Passphrases(directory, given, args["generate_passphrases"]))
        return self._run_authority(authority, args)

    def _run_authority(self, authority: Authority, args: dict[str, Any]) -> dict[str, Any]:
        check = self._task.check_mode
        settings = authority.settings() or _initial_settings(args)
        settings = replace(settings, **{name: args[name] for name in SETTINGS if args[name] is not None})
        report = authority.ensure(settings, check, args["replace_issuing"])
        result: dict[str, Any] = {"certificates": [], "revoked": [], "expiring": [], "renewal": {}}
        if authority.exists:
            if args["revoke"]:
                wanted = args["revoke"]
                named = {key: wanted[key] or "" for key in ("serial", "host", "commune")}
                result["revoked"] = authority.revoke(
                    wanted["reason"], **named, replaced=wanted["replaced"], check=check
                )
                report.changes += [f"{_certificate_line(row)} révoqué" for row in result["revoked"]]
            if args["certificates"]:
                result["certificates"] = self._local_certificates(authority, args, report.changes)
            if args["renew"]:
                asked = args["renew"]
                machines = Machines(asked["machines"], asked["holders"], asked["except"])
                changes, state = advance(authority, asked["authority"], machines, check)
                report.changes += changes
                result["renewal"] = asdict(state)
            result["expiring"] = [_public_row(row) for row in authority.to_renew(args["renew_days"])]
            result["revoked"] = [_public_row(row) for row in result["revoked"]]
        for warning in report.warnings:
            Display().warning(warning)
        after = "".join(f"{change}\n" for change in report.changes)
        diff = {
            "before": "",
            "after": after,
            "before_header": str(authority.directory),
            "after_header": "après",
        }
        return result | {
            "changed": bool(report.changes),
            "changes": report.changes,
            "warnings": report.warnings,
            "diff": [diff] if after else [],
        }

    def _local_certificates(
        self, authority: Authority, args: dict[str, Any], changes: list[str]
    ) -> list[dict[str, Any]]:
        if not args["certificates_dir"]:
            raise PkiError("pki_ca, champ certificates_dir : manquant, alors que certificates est donné")
        folder = Path(args["certificates_dir"]).expanduser().absolute()
        store = HostStore(folder, self._task.check_mode)
        settings = authority.settings()
        found = []
        for given in args["certificates"]:
            entry = given
            if settings and entry["profile"] != "server" and not entry["organization"]:
                entry = entry | {"organization": settings.organization}
            request = Request.from_dict(entry)
            state = own.ensure(authority, store, request, args["renew_days"], entry["commune"])
            if entry["p12"]:
                current = folder / request.name / "current"
                path = Path(entry["p12"]).expanduser()
                if ensure_p12(path, current, entry["p12_password"], request.common_name, self._task.check_mode):
                    changes.append(f"{path} écrit")
            state["path"] = str(folder / request.name / "current")
            found.append({key: state[key] for key in ("name", "serial", "not_after", "path")})
        changes += [f"{change.path} : {change.after.strip()}" for change in store.changes]
        return found


def _initial_settings(args: dict[str, Any]) -> Settings:
    """What an authority that is not made yet begins with: its organization is the inventory's, never another's."""
    if not args["organization"]:
        raise PkiError(
            "l'autorité de certification n'est pas encore faite, et rien ne dit de qui elle est. À faire : écrivez "
            "creatic_autorite: {organisation: …} dans group_vars/all.yml, et faites l'autorité (docs/production.md, "
            "étape 4)"
        )
    return Settings(args["organization"], args["organization"], POLICY_ARC)


def _certificate_line(row: dict[str, Any]) -> str:
    return f"certificat n° {row['serie']} « {row['nom']} » de {row['hote']} ({row['titulaire']})"


def _public_row(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "pem"}
