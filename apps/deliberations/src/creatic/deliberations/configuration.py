"""The site as the communes' files want it: institutions, accounts, roles; read before written, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from creatic.deliberations import publicity, reading, watch
from creatic.deliberations.places import MEETINGS, goes_on_line
from plone import api

# Group of a commune -> its roles where meetings are prepared.
GROUPS = {"redacteurs": "Redacteur", "dgs": "DGS", "maire": "Maire"}
TITLES = {"redacteurs": "Rédacteurs", "dgs": "DGS", "maire": "Maire"}
SERVICE = "passerelle"


class _Site:
    """One comparison; `changes` is what differed, in French."""

    def __init__(self, portal: Any, passwords: Mapping[str, str]) -> None:
        self.portal = portal
        self.passwords = passwords
        self.changes: list[str] = []
        self.missing: list[str] = []
        self.gone: list[str] = []  # whose first password is nobody's any more
        self.seats = reading.seats(portal)  # as they were

    def bring(self, thing: Any, name: str, value: Any, label: str) -> None:
        """Bring an attribute to a value."""
        now = getattr(thing.aq_base, name, None)
        if now != value:
            self.changes.append(f"{label} : {_format_value(now)} → {_format_value(value)}")
            setattr(thing, name, value)

    # -- institutions

    def institution(self, wanted: Mapping[str, Any]) -> None:
        slug = wanted["slug"]
        if slug not in self.portal.objectIds():
            self.changes.append(f"commune {wanted['nom']} : ajoutée")
            api.content.create(
                container=self.portal, type="Institution", id=slug, title=wanted["nom"], institution_type="commune"
            )
        commune = self.portal[slug]
        if api.content.get_state(commune) != "published":
            api.content.transition(commune, transition="publish")
            self.note(f"commune {wanted['nom']} : publiée")
        if MEETINGS not in commune.objectIds():
            made = api.content.create(container=commune, type="Folder", id=MEETINGS, title="Préparation des séances")
            made.setLayout("preparation")
            self.note(f"commune {wanted['nom']} : espace de préparation ajouté")
        folder = commune[MEETINGS]
        if api.content.get_state(folder) != "private":
            api.content.transition(folder, to_state="private")
            self.note(f"commune {wanted['nom']} : espace de préparation refermé")
        label = f"commune {wanted['nom']}"
        before = len(self.changes)
        self.bring(commune, "title", wanted["nom"], f"{label}, nom")
        self.bring(commune, "institution_type", "commune", f"{label}, type")
        # A CCAS, a caisse des écoles: whose people it has, and what its documents call it. Nothing of a commune's own.
        self.bring(commune, "creatic_heberge_par", wanted.get("heberge_par"), f"{label}, commune")
        self.bring(commune, "creatic_organisme", wanted.get("organisme"), f"{label}, organisme")
        self.bring(commune, "creatic_conseil", wanted.get("conseil"), f"{label}, conseil")
        self.bring(commune, "creatic_qualite", wanted.get("qualite"), f"{label}, présidence")
        # How long before its council meets its convocation leaves, and what of it goes on line.
        self.bring(commune, "creatic_type", wanted.get("type"), f"{label}, sorte d'entité")
        self.bring(commune, "creatic_aides", wanted.get("aides_individuelles", True), f"{label}, aides individuelles")
        self._withdraw(commune, label)
        days = wanted.get("convocation_jours")
        self.bring(commune, "creatic_convocation_jours", days, f"{label}, jours francs de convocation")
        self.bring(commune, "creatic_siren", wanted["siren"], f"{label}, SIREN")
        self.bring(commune, "creatic_siret", wanted.get("siret"), f"{label}, SIRET")
        self.bring(commune, "creatic_site", wanted.get("site_internet"), f"{label}, site internet")
        self.bring(commune, "creatic_elus", tuple(wanted["elus"]), f"{label}, élus")
        self.bring(commune, "creatic_habitants", wanted["habitants"] or None, f"{label}, habitants")
        counted = wanted.get("habitants_publicite") or None
        self.bring(commune, "creatic_habitants_publicite", counted, f"{label}, habitants pour la publicité des actes")
        self.bring(commune, "creatic_maire", wanted["nom_maire"], f"{label}, maire")
        self.bring(commune, "creatic_publication", wanted["publication"], f"{label}, publication des actes")
        if len(self.changes) != before:
            commune.reindexObject()
        self._open(folder, wanted)

    def _withdraw(self, commune: Any, label: str) -> None:
        """Take off line the lists and procès-verbaux of a council whose deliberations say who is helped, and what a
        clock would publish: they stay, for its people alone."""
        if goes_on_line(commune):
            return
        for one in commune.publications.objectValues():
            state = api.content.get_state(one)
            if state in ("published", "planned") and publicity.by_hand(False, getattr(one, "document_type", ""), state):
                with watch.ours():
                    api.content.transition(one, transition="unpublish")
                self.changes.append(f"{label}, « {one.title} » : retiré de la publication ({publicity.LAW})")

    def note(self, change: str) -> None:
        """Add a change, unless its institution is new: that says all."""
        if not any(change.startswith(known.removesuffix("ajoutée")) for known in self.changes if "ajoutée" in known):
            self.changes.append(change)

    def _open(self, folder: Any, wanted: Mapping[str, Any]) -> None:
        """Give the commune's groups their roles, and nobody else any."""
        right = {f"{wanted['slug']}-{kind}": sorted((role, "Reader")) for kind, role in GROUPS.items()}
        found = {who: sorted(roles) for who, roles in folder.get_local_roles()}
        odd = sorted(who for who in found.keys() | right.keys() if found.get(who) != right.get(who))
        if not odd and getattr(folder.aq_base, "__ac_local_roles_block__", False):
            return
        self.note(f"commune {wanted['nom']} : droits de l'espace de préparation ({', '.join(odd) or 'héritage'})")
        folder.manage_delLocalRoles(list(found))
        for who, roles in right.items():
            folder.manage_setLocalRoles(who, list(roles))
        folder.__ac_local_roles_block__ = True
        for permission in ("Add portal content", "creatic.deliberations: Add seance"):
            folder.manage_permission(permission, ["Manager", "Redacteur", "DGS"], acquire=False)
        folder.reindexObjectSecurity()

    # -- people

    def group(self, name: str, title: str, members: list[str]) -> None:
        found = api.group.get(groupname=name)
        if found is None:
            found = api.group.create(groupname=name, title=title)
            self.note(f"groupe {title} : ajouté")
        there = set(found.getGroupMemberIds())
        for login in sorted(set(members) - there):
            found.addMember(login)
            self.changes.append(f"groupe {title} : {login} ajouté")
        for login in sorted(there - set(members)):
            found.removeMember(login)
            self.changes.append(f"groupe {title} : {login} retiré")

    def members(self, slug: str) -> set[str]:
        """Logins of a commune's groups, and of its élus."""
        found = (api.group.get(groupname=f"{slug}-{kind}") for kind in GROUPS)
        logins = {login for group in found if group is not None for login in group.getGroupMemberIds()}
        return logins | {login for login, seat in self.seats.items() if seat.slug == slug}

    def account(self, wanted: Mapping[str, Any], home: str, there: set[str]) -> None:
        """Bring an account of a commune, and of the entities that it hosts; `there` are the members of its groups:
        asking of whom one is takes time."""
        login = wanted["identifiant"]
        properties = {"fullname": f"{wanted['prenom']} {wanted['nom']}", "email": wanted["courriel"]}
        user = api.user.get(userid=login)
        passed = user is not None and login not in there and _commune_of(self.portal, login) not in ("", home)
        if user is None or passed:
            self.changes.append(f"compte {login} : {'remis à une autre commune' if passed else 'ajouté'}")
            if login not in self.passwords:
                self.gone += [login] * passed
                self.missing.append(login)
                return
            if passed:
                self._remove(login)
            properties["must_change_password"] = True
            user = self.portal.portal_membership.getMemberById(self._add(login, ["Member"]))
            user.setMemberProperties(properties)
            reading.known_as(self.portal, login, str(properties["fullname"]))
            return
        reading.known_as(self.portal, login, str(properties["fullname"]))
        for name, value in properties.items():
            if user.getProperty(name, "") != value:
                self.changes.append(f"compte {login} : {name} corrigé")
                user.setMemberProperties({name: value})

    def _remove(self, login: str) -> None:
        """Remove an account, from its groups too: one that gets the login again must have no right of the former."""
        users = self.portal.acl_users
        for group in {one.getId() for one in api.group.get_groups(username=login)} & {
            *users.source_groups.listGroupIds()
        }:
            users.source_groups.removePrincipalFromGroup(login, group)
        reading.unseat(self.portal, login)
        users.source_users.removeUser(login)

    def _add(self, login: str, roles: list[str]) -> str:
        users = self.portal.acl_users
        users.source_users.addUser(login, login, self.passwords[login])
        for role in roles:
            users.portal_role_manager.assignRoleToPrincipal(role, login)
        return login

    def councillors(self, communes: Sequence[Mapping[str, Any]]) -> None:
        """Say which accounts are élus', and whose: who sits no more reads nothing from then on."""
        now = reading.seats(self.portal)
        for commune in communes:
            wanted = {
                login: reading.Seat(commune["slug"], name) for login, name in commune.get("acces_elus", {}).items()
            }
            for login, seat in wanted.items():
                if now.get(login) != seat:
                    self.changes.append(f"commune {commune['nom']}, espace des élus : {login} ({seat.name}) ajouté")
                    reading.seat(self.portal, login, seat)
            for login, seat in now.items():
                if seat.slug == commune["slug"] and login not in wanted:
                    self.changes.append(f"commune {commune['nom']}, espace des élus : {login} ({seat.name}) retiré")
                    reading.unseat(self.portal, login)

    def service(self) -> None:
        """The account of the passerelle: its password is the control node's."""
        users = self.portal.acl_users
        if SERVICE in users.source_users.listUserIds():
            if SERVICE in self.passwords and not users.source_users.authenticateCredentials(
                {"login": SERVICE, "password": self.passwords[SERVICE]}
            ):
                self.changes.append(f"compte {SERVICE} : mot de passe changé")
                users.source_users.updateUserPassword(SERVICE, self.passwords[SERVICE])
        else:
            self.changes.append(f"compte {SERVICE} : ajouté")
            if SERVICE not in self.passwords:
                self.missing.append(SERVICE)
                return
            self._add(SERVICE, ["Member", "Passerelle"])
        roles = set(users.portal_role_manager.getRolesForPrincipal(api.user.get(userid=SERVICE)))
        if roles - {"Authenticated"} != {"Member", "Passerelle"}:
            self.changes.append(f"compte {SERVICE} : rôles corrigés")
            users.portal_role_manager.assignRolesToPrincipal(["Member", "Passerelle"], SERVICE)

    def close(self, slugs: set[str]) -> None:
        """Take their rights in what is served no more from people who stay, for their commune's sake or its CCAS's."""
        for one in self.portal.objectValues():
            slug = one.getId()
            if getattr(one, "portal_type", "") != "Institution" or slug in slugs:
                continue
            for kind in (*GROUPS, "publications_managers"):
                if (found := api.group.get(groupname=f"{slug}-{kind}")) and found.getGroupMemberIds():
                    self.group(f"{slug}-{kind}", f"{slug}-{kind}", [])
            for login, seat in reading.seats(self.portal).items():
                if seat.slug == slug:
                    self.changes.append(f"espace des élus de {slug} : {login} ({seat.name}) retiré")
                    reading.unseat(self.portal, login)

    def leave(self, known: set[str]) -> None:
        """Remove the accounts of who is in no commune any more; what they wrote keeps their login."""
        for login in sorted(set(self.portal.acl_users.source_users.listUserIds()) - known):
            self.changes.append(f"compte {login} : retiré")
            self.gone.append(login)
            self._remove(login)


def _filter_logins(portal: Any, wanted: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The communes without the logins that are somebody else's here, and what is said of these logins.

    Plone gives rights to names, a person's as well as a group's: who is called as a group, the passerelle or the
    administrator would have their rights, in every commune.
    """
    root = portal.getPhysicalRoot().acl_users
    taken = {SERVICE, *portal.acl_users.source_groups.listGroupIds()}
    named = {one["identifiant"] for commune in wanted["communes"] for one in commune["comptes"]}
    odd = sorted(login for login in named if login in taken or root.getUserById(login) is not None)
    communes = [
        {
            **commune,
            **{kind: [login for login in commune[kind] if login not in odd] for kind in GROUPS},
            "acces_elus": {login: name for login, name in commune.get("acces_elus", {}).items() if login not in odd},
            "comptes": [one for one in commune["comptes"] if one["identifiant"] not in odd],
        }
        for commune in wanted["communes"]
    ]
    return communes, [
        f"compte {login} : cet identifiant est celui d'un groupe ou d'un programme de ce site ; il n'a aucun droit. "
        "À faire : donnez-en un autre à la personne (comptes, dans le fichier de sa commune)"
        for login in odd
    ]


def _commune_of(portal: Any, login: str) -> str:
    """Commune of an account, by its groups or its seat; the one that hosts where they are a CCAS's. Empty for none."""
    groups = {group.getId() for group in api.group.get_groups(username=login)}
    slugs = [one.getId() for one in portal.objectValues() if getattr(one, "portal_type", "") == "Institution"]
    seat = reading.seat_of(portal, login)
    known = next((slug for slug in slugs if groups & {f"{slug}-{kind}" for kind in GROUPS}), "")
    found = known or (seat.slug if seat else "")
    return str(getattr(portal.get(found), "creatic_heberge_par", None) or found) if found else ""


def _format_value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value or "rien")


def apply(portal: Any, wanted: Mapping[str, Any], passwords: Mapping[str, str]) -> dict[str, Any]:
    """Bring the site to what is wanted.

    Args:
        portal: the Plone site.
        wanted: from the filter deliberations_configuration: `communes`, each with slug, nom, siren, elus, acces_elus
            (names by login), nom_maire, publication, type, aides_individuelles, siret, site_internet, comptes, and the
            logins of each group.
        passwords: first password of each account to make, and the passerelle's.

    Returns:
        `changements` in French; `avertissements`; `sans_mot_de_passe`, accounts to make whose password was not given;
        `retires`, accounts whose former password is nobody's any more.
    """
    site = _Site(portal, passwords)
    site.service()
    known = {SERVICE}
    communes, refused = _filter_logins(portal, wanted)
    for commune in communes:
        there = site.members(commune["slug"])
        for account in commune["comptes"]:
            known.add(account["identifiant"])
            site.account(account, commune.get("heberge_par", commune["slug"]), there)
    for commune in communes:
        site.institution(commune)
        if not site.missing:
            for kind in GROUPS:
                site.group(f"{commune['slug']}-{kind}", f"{commune['nom']} - {TITLES[kind]}", commune[kind])
            # Other acts (arrêtés) are published by the DGS; decisions come from the preparation alone.
            group = f"{commune['slug']}-publications_managers"
            site.group(group, f"{commune['nom']} - Publications", commune["dgs"])
    site.leave(known)
    names = {one["slug"] for one in communes}
    if not site.missing:
        site.close(names)
        site.councillors(communes)
    warnings = refused + [
        f"{one.title} n'a plus le service deliberations : ce qui est publié reste en ligne, à retirer à la main"
        for one in portal.objectValues()
        if getattr(one, "portal_type", "") == "Institution" and one.getId() not in names
    ]
    return {
        "changements": site.changes,
        "avertissements": warnings,
        "sans_mot_de_passe": sorted(set(site.missing)),
        "retires": sorted(site.gone),
    }


def account(portal: Any, login: str) -> dict[str, Any]:
    """What the site knows of a login: whose it is, of which commune, and their drafts; empty when there is none."""
    if login == SERVICE or login not in portal.acl_users.source_users.listUserIds():
        return {}
    member = api.user.get(userid=login)
    drafts = api.content.find(portal_type="projet", review_state="brouillon", Creator=login)
    return {
        "nom": member.getProperty("fullname", ""),
        "courriel": member.getProperty("email", ""),
        "commune": _commune_of(portal, login),
        "ouvert": True,
        "en_main": [
            f"projet « {one.Title} » (brouillon), que les autres rédacteurs peuvent reprendre" for one in drafts
        ],
    }
