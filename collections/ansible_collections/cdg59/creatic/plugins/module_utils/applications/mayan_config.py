# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Brings Mayan EDMS to a wanted configuration: what is there is read over its API, differences alone are applied.

Objects are known by their label, those of a commune by one that ends with its SIREN (`labels`); one that bears the
name of before is renamed. What is named in the configuration is made exact, its rights above all: a role that
is not wanted on a managed object loses its access. Objects that the configuration no longer names are left alone, since
they may hold documents, but they are said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import labels
from ansible_collections.cdg59.creatic.plugins.module_utils.applications.mayan_api import Mayan, MayanError

# kind of an object: application and model, as Mayan's API names them.
_MODELS = {
    "cabinet": ("cabinets", "cabinet"),
    "document_type": ("documents", "documenttype"),
    "index_template": ("document_indexing", "indextemplate"),
    "metadata_type": ("metadata", "metadatatype"),
    "workflow": ("document_states", "workflow"),
}
CHOSEN = "Mots de passe choisis"
"""Group of those who have a password of their own, kept by role mayan's creatic_passwords."""
_ACCOUNT_REGISTER_PATH = "/creatic/comptes/"
"""Accounts that a run made, by number (role mayan's creatic_accounts). One that is not there is nobody's."""
_CHECK_MODE_ID = -1  # identifier of what check mode would make


@dataclass
class Result:
    """What a run changed, and what people should know."""

    changes: list[str] = field(default_factory=list)
    """In French, in order; in check mode, what would change."""
    warnings: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Persons whose account is closed: the first password that is kept of them is nobody's any more."""
    calls: int = 0


def apply(mayan: Mayan, wanted: Mapping[str, Any], passwords: Mapping[str, str], check: bool = False) -> Result:
    """Compare and apply.

    Args:
        mayan: session of an administrator.
        wanted: the configuration, see the module's documentation.
        passwords: first password of each account, used only for those to make.
        check: only say what would change.

    Raises:
        MayanError: the application refuses something.
    """
    run = _Run(mayan, wanted, passwords, check)
    run.accounts()
    run.metadata_types()
    run.document_types()
    run.cabinets()
    run.indexes()
    run.workflows()
    run.rights()
    run.result.calls = mayan.calls
    return run.result


def missing_accounts(mayan: Mayan, wanted: Mapping[str, Any]) -> list[str]:
    """Accounts to make, or to open again: each needs a first password."""
    known = {int(one["id"]): one for one in mayan.get(_ACCOUNT_REGISTER_PATH)}
    # A name that a known account bears wrongly is given back.
    strangers = {one["username"] for one in mayan.get("/users/") if int(one["id"]) not in known}
    by_login = {one["login"]: one for one in known.values()}
    return [
        one["username"]
        for one in wanted["users"]
        if one["username"] not in strangers
        and (one["username"] not in by_login or _comes_back(by_login[one["username"]], one))
    ]


def _comes_back(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an account was closed, and its person is named again by the same commune's file."""
    # An application of before says nothing of it: none was closed.
    return not known.get("open", True) and known["commune"] in ("", wanted.get("commune", ""))


class _Run:
    def __init__(self, mayan: Mayan, wanted: Mapping[str, Any], passwords: Mapping[str, str], check: bool) -> None:
        self._mayan, self._wanted, self._passwords, self._check = mayan, wanted, passwords, check
        self.result = Result()
        self._ids: dict[tuple[str, str], int] = {}

    # Small tools

    def _apply_change(self, change: str, action: Callable[..., Any], *arguments: Any) -> Any:
        self.result.changes.append(change)
        return None if self._check else action(*arguments)

    def _create_object(self, change: str, path: str, body: Mapping[str, Any]) -> int:
        made = self._apply_change(change, self._mayan.post, path, body)
        return _CHECK_MODE_ID if made is None else int(made["id"])

    def _update_object(self, what: str, path: str, found: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        odd = {key: value for key, value in body.items() if found[key] != value}
        if odd:
            said = ", ".join(f"{key} : {found[key]!r} → {value!r}" for key, value in odd.items())
            self._apply_change(f"{what} corrigé ({said})", self._mayan.patch, path, odd)

    def _list_objects(self, owner: int, path: str) -> list[dict[str, Any]]:
        return [] if owner == _CHECK_MODE_ID else self._mayan.get(path)

    def _sync_members(self, what: str, owner: int, path: str, name: str, wanted: Mapping[str, int], key: str) -> None:
        """Make a set of members exact; `name` is the field by which one is added or removed."""
        found = {str(one[key]): int(one["id"]) for one in self._list_objects(owner, f"{path}/")}
        for member in sorted(wanted.keys() - found.keys()):
            body = {name: wanted[member]}
            self._apply_change(f"{what} : {member} ajouté", self._mayan.post, f"{path}/add/", body)
        for member in sorted(found.keys() - wanted.keys()):
            body = {name: found[member]}
            self._apply_change(f"{what} : {member} retiré", self._mayan.post, f"{path}/remove/", body)

    def _match_renamed(
        self, what: str, kind: str, path: str, found: dict[str, Any], name: str = "label"
    ) -> dict[str, Any]:
        """Objects by their label: what bears the name of before is given its own, unless both are there."""
        for before, label in self._wanted.get("former", {}).get(kind, {}).items():
            if before not in found:
                continue
            if label and label not in found:
                number = found[before]["id"]
                self._apply_change(
                    f"{what} {before} renommé {label}", self._mayan.patch, f"{path}{number}/", {name: label}
                )
                found[label] = found.pop(before) | {name: label}
            else:
                reason = "son nouveau nom est déjà pris" if label else "deux communes ont porté ce nom"
                self.result.warnings.append(
                    f"{what} {before} : {reason} ; il est laissé, sans plus servir. À faire : si des documents y sont, "
                    "rangez-les où ils vont, puis supprimez-le"
                )
        return found

    # What is configured, in the order of what needs what

    def accounts(self) -> None:
        """Users, groups and roles."""
        user_ids = self._sync_users()

        listed = {one["name"]: one for one in self._mayan.get("/groups/")}
        groups = {
            name: one["id"] for name, one in self._match_renamed("groupe", "group", "/groups/", listed, "name").items()
        }
        for name, members in self._wanted["groups"].items():
            if name not in groups:
                groups[name] = self._create_object(f"groupe {name} créé", "/groups/", {"name": name})
            self._sync_group(name, groups[name], {user_ids[login]: login for login in members if login in user_ids})
        # Nobody stays in a group of a service that is no more: it would keep its rights.
        for name in sorted(groups.keys() - self._wanted["groups"].keys() - {CHOSEN}):
            self._sync_group(name, groups[name], {})

        listed = {one["label"]: one for one in self._mayan.get("/roles/")}
        roles = {label: one["id"] for label, one in self._match_renamed("rôle", "role", "/roles/", listed).items()}
        for label, members in self._wanted["roles"].items():
            if label not in roles:
                roles[label] = self._create_object(f"rôle {label} créé", "/roles/", {"label": label})
            wanted = {name: groups[name] for name in members}
            self._sync_members(f"rôle {label}", roles[label], f"/roles/{roles[label]}/groups", "group", wanted, "name")
            # Rights are given on objects; one given on everything would cross from a commune to another.
            for one in self._list_objects(roles[label], f"/roles/{roles[label]}/permissions/"):
                body = {"permission": one["pk"]}
                self._apply_change(
                    f"rôle {label} : droit {one['pk']} sur tout retiré",
                    self._mayan.post,
                    f"/roles/{roles[label]}/permissions/remove/",
                    body,
                )
        self._ids.update({("role", label): number for label, number in roles.items()})

    def _sync_users(self) -> dict[str, int]:
        """Accounts, each by the number under which a run made it; gives the numbers by login.

        An account that no run made is not taken for whoever's name it bears: it is told, and left out.
        """
        users = {int(one["id"]): one for one in self._mayan.get("/users/")}
        known = {one["login"]: one for one in self._mayan.get(_ACCOUNT_REGISTER_PATH)}
        bearers = {one["username"]: number for number, one in users.items()}
        found: dict[str, int] = {}
        # Those that are there first: one that bears the name of another gives it back.
        for one in sorted(self._wanted["users"], key=lambda one: one["username"] not in known):
            login = one["username"]
            number = int(known[login]["id"]) if login in known else _CHECK_MODE_ID
            reason = ""
            if bearers.get(login, number) != number:
                reason = f"un compte que le déploiement n'a pas créé porte cet identifiant (numéro {bearers[login]})"
            elif login in known and known[login]["commune"] not in ("", one.get("commune", "")):
                reason = f"c'est celui d'une personne de la commune {known[login]['commune']}"
            if reason:
                self.result.warnings.append(
                    f"compte {login} : {reason} ; il ne reçoit aucun droit. À faire : vérifiez de qui il est ; donnez "
                    "un autre identifiant à la personne attendue (comptes, dans le fichier de sa commune), ou "
                    "supprimez ce compte (Système, Utilisateurs), puis relancez"
                )
            elif number == _CHECK_MODE_ID or _comes_back(known[login], one):
                body = dict(one) | {"password": self._passwords.get(login)}
                number = self._create_object(
                    f"compte {login} {'créé' if number == _CHECK_MODE_ID else 'rouvert'}", _ACCOUNT_REGISTER_PATH, body
                )
                # None has a number in check mode: each needs its own.
                found[login] = number if number != _CHECK_MODE_ID else _CHECK_MODE_ID - len(found)
            else:
                found[login] = number
                fields = {key: value for key, value in one.items() if key != "commune"}
                self._update_object(f"compte {login}", f"/users/{number}/", users[number], fields)
                bearers.pop(users[number]["username"])
                bearers[login] = number
                if one.get("commune") == "" and login in self._passwords:
                    self._sync_service_password(login, self._passwords[login])
        wanted = {one["username"]: one.get("commune", "") for one in self._wanted["users"]}
        for login in sorted(known):
            # Named by another commune's file, it would act as that commune's person.
            if login in wanted and known[login]["commune"] in ("", wanted[login]):
                continue
            if known[login].get("open", True):
                change = f"compte {login} fermé : aucun fichier de commune ne lui donne plus de rôle ici"
                self._apply_change(change, self._mayan.delete, f"{_ACCOUNT_REGISTER_PATH}{quote(login)}/")
            if known[login]["commune"]:
                self.result.closed.append(login)
        return found

    def _sync_service_password(self, login: str, password: str) -> None:
        """Have a program's account have the password that the control node keeps."""
        path, body = f"{_ACCOUNT_REGISTER_PATH}{quote(login)}/", {"password": password}
        if self._mayan.post(path, body | {"essai": True}).get("change"):
            self._apply_change(f"compte {login} : mot de passe renouvelé", self._mayan.post, path, body)

    def _sync_group(self, name: str, group: int, wanted: Mapping[int, str]) -> None:
        """Make the members of a group exact, by number: a name may be borne by another one."""
        path, what = f"/groups/{group}/users", f"groupe {name}"
        found = {int(one["id"]): str(one["username"]) for one in self._list_objects(group, f"{path}/")}
        for number in sorted(wanted.keys() - found.keys(), key=wanted.__getitem__):
            self._apply_change(f"{what} : {wanted[number]} ajouté", self._mayan.post, f"{path}/add/", {"user": number})
        for number in sorted(found.keys() - wanted.keys(), key=found.__getitem__):
            self._apply_change(
                f"{what} : {found[number]} retiré", self._mayan.post, f"{path}/remove/", {"user": number}
            )

    def metadata_types(self) -> None:
        """Metadata, known by their short name."""
        found = {one["name"]: one for one in self._mayan.get("/metadata_types/")}
        for one in self._wanted["metadata_types"]:
            self._ids["metadata_type", one["name"]] = self._ensure_object(
                "métadonnée", "/metadata_types/", one, "name", found
            )

    def document_types(self) -> None:
        """Document types, their retention and their metadata."""
        listed = {one["label"]: one for one in self._mayan.get("/document_types/")}
        found = self._match_renamed("type", "document_type", "/document_types/", listed)
        for one in self._wanted["document_types"]:
            fields = {key: value for key, value in one.items() if key != "metadata"}
            number = self._ensure_object("type", "/document_types/", fields, "label", found)
            self._ids["document_type", one["label"]] = number
            self._type_metadata(one["label"], number, one["metadata"])
        self._say_unknown("type de documents", "document_type", found)

    def _ensure_object(self, kind: str, path: str, body: Mapping[str, Any], key: str, found: Mapping[str, Any]) -> int:
        name = str(body[key])
        if name not in found:
            return self._create_object(f"{kind} {name} créé", path, body)
        number = int(found[name]["id"])
        self._update_object(f"{kind} {name}", f"{path}{number}/", found[name], body)
        return number

    def _type_metadata(self, label: str, number: int, wanted: Mapping[str, bool]) -> None:
        path = f"/document_types/{number}/metadata_types/"
        found = {one["metadata_type"]["name"]: one for one in self._list_objects(number, path)}
        for name, required in wanted.items():
            if name in found:
                relation = f"{path}{found[name]['id']}/"
                self._update_object(f"type {label}, métadonnée {name}", relation, found[name], {"required": required})
            else:
                body = {"metadata_type_id": self._ids["metadata_type", name], "required": required}
                self._apply_change(f"type {label} : métadonnée {name} ajoutée", self._mayan.post, path, body)
        for name in sorted(found.keys() - wanted.keys()):
            # Taking it away would lose what was noted of each document.
            self.result.warnings.append(f"type {label} : la métadonnée {name} n'est plus demandée, elle est laissée")

    def cabinets(self) -> None:
        """Cabinets, each known by its path: labels repeat from a commune to another."""
        listed = self._mayan.get("/cabinets/")
        tops = {str(one["label"]): one for one in listed if one["parent"] is None}
        renamed = self._match_renamed("dossier", "cabinet", "/cabinets/", tops)
        found = dict(self._cabinet_paths([*renamed.values()], ()))
        for one in self._wanted["cabinets"]:
            path = tuple(one)
            if path not in found:
                parent = found[path[:-1]] if len(path) > 1 else None
                body = {"label": path[-1], "parent": parent}
                found[path] = self._create_object(f"dossier {' / '.join(path)} créé", "/cabinets/", body)
        wanted = {tuple(one) for one in self._wanted["cabinets"]}
        roots = {path[0] for path in wanted}
        for path in sorted(found.keys() - wanted):
            if path[0] in roots:
                self.result.warnings.append(f"dossier {' / '.join(path)} : il n'est plus dans le plan, il est laissé")
        self._ids.update({("cabinet", path[0]): number for path, number in found.items() if len(path) == 1})

    def _cabinet_paths(
        self, cabinets: Sequence[Mapping[str, Any]], above: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], int]]:
        for one in cabinets:
            if not above and one["parent"] is not None:
                continue  # shown under its parent too
            path = (*above, str(one["label"]))
            yield path, int(one["id"])
            yield from self._cabinet_paths(one["children"], path)

    def indexes(self) -> None:
        """Indexes, their document types, and their levels, each inside the one before."""
        listed = {one["label"]: one for one in self._mayan.get("/index_templates/")}
        found = self._match_renamed("index", "index_template", "/index_templates/", listed)
        for one in self._wanted["indexes"]:
            label = one["label"]
            if label in found:
                number, root = int(found[label]["id"]), int(found[label]["index_template_root_node_id"])
            else:
                body = {"label": label, "slug": _index_slug(label), "enabled": True}
                made = self._apply_change(f"index {label} créé", self._mayan.post, "/index_templates/", body)
                number, root = (
                    (made["id"], made["index_template_root_node_id"]) if made else (_CHECK_MODE_ID, _CHECK_MODE_ID)
                )
            self._ids["index_template", label] = number
            types = {name: self._ids["document_type", name] for name in one["document_types"]}
            path = f"/index_templates/{number}/document_types"
            self._sync_members(f"index {label}", number, path, "document_type", types, "label")
            self._sync_levels(label, number, root, one["levels"])

    def _sync_levels(self, label: str, number: int, root: int, wanted: Sequence[str]) -> None:
        nodes = self._list_objects(number, f"/index_templates/{number}/nodes/")
        path, parent = f"/index_templates/{number}/nodes/", root
        for depth, expression in enumerate(wanted):
            last = depth == len(wanted) - 1
            body = {"expression": expression, "link_documents": last, "enabled": True}
            if nodes:
                parent = int(nodes[0]["id"])
                self._update_object(f"index {label}, niveau {depth + 1}", f"{path}{parent}/", nodes[0], body)
                nodes = nodes[0]["children"]
            else:
                change = f"index {label} : niveau {depth + 1} ajouté"
                parent = self._create_object(change, path, body | {"parent": parent})
        for extra in nodes[:1]:
            self._apply_change(
                f"index {label} : niveau {len(wanted) + 1} retiré",
                self._mayan.delete,
                f"{path}{extra['id']}/",
            )

    def workflows(self) -> None:
        """Circuits, known by their internal name. The application that uses them launches them itself."""
        wanted = self._wanted.get("workflows", [])
        found = {one["internal_name"]: one for one in self._mayan.get("/workflow_templates/")} if wanted else {}
        for one in wanted:
            name = one["internal_name"]
            body = {"internal_name": name, "label": one["label"], "auto_launch": False}
            number = self._ensure_object("circuit", "/workflow_templates/", body, "internal_name", found)
            self._ids["workflow", name] = number
            self._workflow_types(one, number)
            path, what = f"/workflow_templates/{number}/states/", f"circuit {name}, état"
            states = {state["label"]: state for state in self._list_objects(number, path)}
            ids = {state["label"]: self._ensure_object(what, path, state, "label", states) for state in one["states"]}
            self._report_unwanted(what, states.keys() - ids.keys())
            self._sync_transitions(one, number, ids)

    def _workflow_types(self, one: Mapping[str, Any], number: int) -> None:
        path = f"/workflow_templates/{number}/document_types/"
        found = {kind["label"] for kind in self._list_objects(number, path)}
        for label in one["document_types"]:
            if label not in found:
                body = {"document_type_id": self._ids["document_type", label]}
                change = f"circuit {one['internal_name']} : type {label} ajouté"
                self._apply_change(change, self._mayan.post, f"{path}add/", body)
        self._report_unwanted(f"circuit {one['internal_name']} : type", found - set(one["document_types"]))

    def _sync_transitions(self, one: Mapping[str, Any], number: int, states: Mapping[str, int]) -> None:
        path = f"/workflow_templates/{number}/transitions/"
        found = {(each["origin_state"]["label"], each["label"]): each for each in self._list_objects(number, path)}
        for each in one["transitions"]:
            key = (each["origin"], each["label"])
            what = f"circuit {one['internal_name']}, passage {each['label']} ({each['origin']})"
            ends = {"origin_state_id": states[each["origin"]], "destination_state_id": states[each["destination"]]}
            if key not in found:
                transition = self._create_object(f"{what} créé", path, {"label": each["label"], **ends})
            else:
                transition = int(found[key]["id"])
                before = found[key]["destination_state"]["label"]
                if before != each["destination"]:
                    change = f"{what} corrigé (vers {before} → {each['destination']})"
                    self._apply_change(change, self._mayan.patch, f"{path}{transition}/", ends)
            if each["fields"]:
                fields_path = f"{path}{transition}/fields/"
                fields = {field["name"]: field for field in self._list_objects(transition, fields_path)}
                for field in each["fields"]:
                    self._ensure_object(f"{what}, champ", fields_path, field, "name", fields)
                self._report_unwanted(f"{what}, champ", fields.keys() - {field["name"] for field in each["fields"]})
        known = {(each["origin"], each["label"]) for each in one["transitions"]}
        self._report_unwanted(
            f"circuit {one['internal_name']}, passage", {f"{b} ({a})" for a, b in found.keys() - known}
        )

    def _report_unwanted(self, what: str, names: Iterable[str]) -> None:
        """Say what is no longer wanted of a circuit. Taking it away would delete the history of its documents."""
        for name in sorted(names):
            self.result.warnings.append(f"{what} {name} : plus demandé, laissé")

    def rights(self) -> None:
        """Rights of roles on objects: exact."""
        for one in self._wanted["acls"]:
            application, model = _MODELS[one["kind"]]
            number = self._ids[one["kind"], one["key"]]
            path = f"/objects/{application}/{model}/{number}/acls/"
            what = f"droits sur {one['key']}"
            found = {acl["role"]["label"]: int(acl["id"]) for acl in self._list_objects(number, path)}
            for role, permissions in one["roles"].items():
                if role not in found:
                    body = {"role_id": self._ids["role", role]}
                    found[role] = self._create_object(f"{what} : rôle {role} ajouté", path, body)
                self._sync_permissions(
                    f"{what}, rôle {role}", found[role], f"{path}{found[role]}/permissions/", permissions
                )
            for role in sorted(found.keys() - one["roles"].keys()):
                self._apply_change(
                    f"{what} : rôle {role} retiré",
                    self._mayan.delete,
                    f"{path}{found[role]}/",
                )

    def _sync_permissions(self, what: str, acl: int, path: str, wanted: Sequence[str]) -> None:
        found = {one["pk"] for one in self._list_objects(acl, path)}
        added, removed = sorted(set(wanted) - found), sorted(found - set(wanted))
        for verb, said, names in (("add", "donné", added), ("remove", "retiré", removed)):
            if names:
                listed = f"{len(names)} droits {said}s" if len(names) > 1 else f"droit {names[0]} {said}"

                self._apply_change(f"{what} : {listed}", self._each_permission, f"{path}{verb}/", names)

    def _each_permission(self, path: str, names: Sequence[str]) -> None:
        for name in names:
            self._mayan.post(path, {"permission": name})

    def _say_unknown(self, what: str, kind: str, found: Mapping[str, Any]) -> None:
        known = [label for one, label in self._ids if one == kind]
        for label in sorted(found):
            if label not in known and any(labels.same(label, one) for one in known):
                self.result.warnings.append(f"{what} {label} : il n'est plus demandé, il est laissé")


def _index_slug(label: str) -> str:
    """A short name of letters, digits and dashes, as Mayan wants of an index."""
    import re
    import unicodedata

    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


__all__ = ["Mayan", "MayanError", "Result", "apply"]
