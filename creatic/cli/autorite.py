# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Commands of the authority: certificates, accesses, accounts, lists of who is trusted."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Callable
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, person_name
from invoke import Context

from creatic.access import authority as access
from creatic.audit import run as audit_run
from creatic.check import needs
from creatic.cli import common
from creatic.cli.common import TOP, Exit, print, task
from creatic.evidence import store as evidence_store
from creatic.life import files as life_files
from creatic.pki import renewal as pki_renewal
from creatic.pki.authority import Authority
from creatic.pki.deadlines import deadlines
from creatic.pki.keys import MINIMUM_PASSPHRASE, Passphrases
from creatic.pki.registry import REVOKED, STATUSES
from creatic.terminal import Grid


@task(
    "fab comptes.renouveler --oui",
    name="renouveler",
    help={"oui": "le fait ; sans elle, la commande dit seulement ce qu'elle ferait"},
)
def accounts_renew(context: Context, oui: bool = False) -> None:
    """Met fin aux jetons et sessions de la GED et du parapheur, et y renouvelle les mots de passe."""
    known = needs.servers(common.inventory_dir(), TOP)
    there = sorted(name for name, profile in known.items() if profile in ("ged", "parapheur"))
    if not there:
        raise Exit("L'inventaire n'a ni GED ni parapheur (servers.yml) : rien n'est fait.", code=2)
    common.checked([])
    if not oui:
        print(
            f"Sur {', '.join(there)} : les jetons de l'API et les sessions ouvertes finissent ; chaque personne "
            "choisit un nouveau mot de passe à sa prochaine visite, avec l'actuel ; l'administrateur et la passerelle "
            "en reçoivent de nouveaux.\nRien n'est changé. À faire : la même commande avec --oui."
        )
        return
    common.must(common.playbook(context, "journeys/renew_accounts.yml"), "Renouvellement des comptes")


@task(
    "fab pki.registre --jours 60",
    reads=True,
    name="registre",
    help={"jours": "seulement ceux qui expirent dans ce délai, en jours", "statut": ", ".join(STATUSES)},
)
def pki_list(context: Context, jours: str = "", statut: str = "") -> None:
    """Montre le registre des certificats."""
    within = common.whole(jours, "--jours") if jours else None
    if statut and statut not in STATUSES:
        raise Exit(f"--statut : « {statut} » n'en est pas un. Attendu : {', '.join(STATUSES)}.", code=2)
    authority = Authority(common.home() / "pki")
    rows = authority.listing(within=within, status=statut)
    authorities = authority.authorities()
    told = pki_renewal.sentences(authority)
    table = Grid(
        "Titulaire", "Machine", "Profil", "Expire le", "Jours", "Statut", "Numéro", right=["Jours"], no_wrap=True
    )
    for row in rows:
        shown = (row["titulaire"], row["hote"], row["profil"], row["fin"][:10], str(row["jours"]), row["statut"])
        table.add(*shown, row["serie"])
    table.show()  # serial numbers are copied: never folded
    above = Grid(
        "Autorité",
        "Titulaire",
        "Expire le",
        "Jours",
        "Certificats",
        "État",
        right=["Jours", "Certificats"],
        no_wrap=True,
    )
    for one in authorities:
        counted = (one["fin"][:10], str(one["jours"]), str(one["certificats"]))
        above.add(one["nom"], one["titulaire"], *counted, one["etat"])
    above.show()
    print("\n".join(told))


@task("fab pki.creer", name="creer")
def pki_make(context: Context) -> None:
    """Fait l'autorité de certification et celle des accès, la première fois ; les tient ensuite à jour."""
    home, fleet = common.home(), common.outgoing_communes()
    titles = {"PKI_RACINE": "de la racine", "PKI_EMETTRICE": "de l'émettrice", "ACCES_SSH": "des accès SSH"}
    if fleet and not (home / "flotte" / "cle.pem").exists():
        titles["FLOTTE_CLE"] = "de la clé de la flotte"
    for name, title in titles.items() if not common.chosen().lab else ():
        folder, role = name.lower().split("_")
        try:
            Passphrases(home / folder).get(role)
        except PkiError:  # known to this command alone
            os.environ[f"CREATIC_{name}"] = passphrase(f"Phrase secrète {title}", getpass.getpass)
    common.must(common.playbook(context, "authority.yml"), "Autorité de certification")
    if fleet:
        common.fleet_does("ouverture de la clé", lambda fleet: fleet.ready())


def passphrase(title: str, read: Callable[[str], str]) -> str:
    """Ask for a passphrase twice: an error of typing would show the day when the root is needed, a year later.

    Args:
        title: whose it is (French).
        read: reads what is typed, without showing it.

    Raises:
        Exit: they differ, or it is too short.
    """
    given = read(f"{title} ({MINIMUM_PASSPHRASE} caractères au moins) : ")
    if len(given) < MINIMUM_PASSPHRASE:
        raise Exit(f"{title} : {MINIMUM_PASSPHRASE} caractères au moins. Rien n'est fait.", code=2)
    if read(f"{title}, de nouveau : ") != given:
        raise Exit(f"{title} : les deux saisies diffèrent. Rien n'est fait, relancez la même commande.", code=2)
    return given


@task("fab pki.verifier", reads=True, name="verifier")
def pki_verify(context: Context) -> None:
    """Vérifie le registre, les clés et les listes de révocation."""
    authority = Authority(common.home() / "pki")
    problems = authority.verify()
    with contextlib.suppress(PkiError):  # it is one of the problems
        print("".join(f"{line}\n" for line in pki_renewal.sentences(authority) if line not in problems), end="")
    print("\n".join(f"- {problem}" for problem in problems) or "Autorité de certification : aucun défaut.")
    if problems:
        raise Exit("L'autorité de certification a des défauts.", code=1)


@task(
    "fab pki.echeances --jours 60",
    reads=True,
    name="echeances",
    help={"jours": "certificats qui expirent dans ce délai ; 30 d'office"},
)
def pki_deadlines(context: Context, jours: str = "30") -> None:
    """Dit ce qui expire bientôt, certificats, autorités et listes de révocation ; en échec s'il y a à faire."""
    found = deadlines(Authority(common.home() / "pki"), common.whole(jours, "--jours"))
    print("\n".join(f"- {line}" for line in found) or f"Rien n'expire dans les {jours} jours.")
    common.judged("pki.echeances", found)


@task("fab pki.revocations", name="revocations")
def pki_lists(context: Context) -> None:
    """Signe de nouveau les listes de révocation qui expirent, et les donne à toutes les machines."""
    common.checked([])
    common.unlock()
    common.must(common.playbook(context, "journeys/revocation_lists.yml"), "Listes de révocation")


@task(
    "fab pki.rotation --jours 60", name="rotation", help={"jours": "renouvelle ce qui expire dans ce délai, en jours"}
)
def pki_rotate(context: Context, jours: str = "30") -> None:
    """Renouvelle les certificats qui expirent bientôt."""
    within = common.whole(jours, "--jours")
    common.checked([])
    common.unlock()
    common.must(
        common.playbook(context, "journeys/rotate_certificates.yml", *common.variables(jours=within)), "Renouvellement"
    )


@task(
    "fab pki.renouveler --autorite emettrice",
    name="renouveler",
    positional=[],
    help={
        "autorite": "emettrice, ou racine (avec une nouvelle émettrice sous elle)",
        "sauf": "machines qu'on renonce à attendre, séparées par des virgules",
    },
)
def pki_renew(context: Context, autorite: str, sauf: str = "") -> None:
    """Donne une nouvelle clé à l'autorité : faite, reçue par toutes les machines, puis mise en service."""
    if autorite not in ("emettrice", "racine"):
        raise Exit(f"--autorite : « {autorite} » n'en est pas une. Attendu : emettrice ou racine.", code=2)
    common.checked([])
    given = common.variables(autorite=autorite, sauf=[name.strip() for name in sauf.split(",") if name.strip()])
    common.unlock()
    common.must(common.playbook(context, "journeys/renew_authority.yml", *given), "Renouvellement de l'autorité")


@task(
    "fab pki.revoquer --motif compromission --hote gondecourt-pc-secretariat",
    name="revoquer",
    positional=[],
    help={
        "motif": "compromission, changement, remplacement, cessation, non_precise",
        "numero": "numéro de série hexadécimal",
        "hote": "tous les certificats d'un hôte",
        "commune": "tous ceux d'une commune",
        "remplaces": "seulement ceux qu'un nouveau a remplacés : l'ancienne machine, une fois la nouvelle prouvée",
    },
)
def pki_revoke(
    context: Context, motif: str, numero: str = "", hote: str = "", commune: str = "", remplaces: bool = False
) -> None:
    """Révoque des certificats et publie la liste de révocation partout."""
    target = {"numero": numero, "hote": hote, "commune": commune}
    target = {name: value for name, value in target.items() if value}
    if len(target) != 1:
        raise Exit("Donnez une seule cible : --numero, --hote ou --commune.", code=2)
    common.refuse_entities([commune], "donnez les numéros de ses certificats, un par un (--numero ; fab pki.registre)")
    try:
        Authority(common.home() / "pki").revoke(
            motif, serial=numero, host=hote, commune=commune, replaced=remplaces, check=True
        )
    except PkiError as error:
        raise Exit(f"Révocation refusée : {error}", code=2) from None
    wanted = common.variables(**target, motif=motif, **({"remplaces": True} if remplaces else {}))
    common.unlock()
    common.must(common.playbook(context, "journeys/revoke_certificate.yml", *wanted), "Révocation")
    for path in life_files.certificate_files(common.home(), Authority(common.home() / "pki").listing(status=REVOKED)):
        life_files.remove(path)
        print(f"{path} : supprimé, son certificat est révoqué.")


@task(
    'fab pki.personne "Camille Delattre" --commune gondecourt',
    name="personne",
    positional=["nom"],
    help={
        "nom": "prénom et nom",
        "commune": "nom du fichier de sa commune, ou de l'entité qu'il préside ; sans elle, quelqu'un du groupement",
    },
)
def pki_person(context: Context, nom: str, commune: str = "") -> None:
    """Donne son certificat à une personne (éliminations d'archives, vue entière de la passerelle), en .p12."""
    if commune:
        common.hosting(commune)
    try:
        person_name(nom)
    except PkiError as error:
        raise Exit(str(error), code=2) from None
    given = common.variables(person_name=nom, person_commune=commune)
    common.unlock()
    common.must(common.playbook(context, "journeys/person_certificate.yml", *given), "Certificat")


@task(
    'fab acces.delivrer auditeur --duree 4h --cle cle.pub --profil tdt_connector --motif "audit annuel"',
    name="delivrer",
    positional=["role"],
    iterable=["profil", "commune"],
    help={
        "role": "auditeur ou prestataire",
        "duree": "durée, 24 h au plus : 4h, 90min",
        "cle": "clé publique SSH du titulaire, un fichier .pub",
        "profil": "seulement les machines de ce profil ; à répéter",
        "commune": "seulement celles de cette commune ; à répéter",
        "qui": "nom du titulaire ; par défaut le commentaire de sa clé",
        "motif": "raison de l'accès",
        "source": "adresses ou réseaux d'où il sert, séparés par des virgules",
    },
)
def access_grant(
    context: Context,
    role: str,
    duree: str,
    cle: str,
    profil: list[str] | None = None,
    commune: list[str] | None = None,
    qui: str = "",
    motif: str = "",
    source: str = "",
) -> None:
    """Délivre un certificat SSH limité dans le temps, à un auditeur ou à un prestataire."""
    profiles, communes = profil or [], commune or []
    if communes:
        common.check_communes(communes)
    known = audit_run.profiles(TOP)
    if unknown := [name for name in profiles if name not in known]:
        raise Exit(f"Profil inconnu : {', '.join(unknown)}. Connus : {', '.join(known)}", code=2)
    principals = access.principals(role, profiles, communes)
    lasting = access.duration(duree)
    key = access.public_key(Path(cle))
    demand = access.Demand(role, lasting, principals, qui or key.comment, motif, evidence_store.operator(), source)
    target = Path(cle.removesuffix(".pub") + "-cert.pub")
    if not os.access(target if target.exists() else target.absolute().parent, os.W_OK):
        raise access.AccessError(f"--cle : impossible d'écrire {target}, à côté de la clé")
    granted, text = access.SshAuthority(common.home() / "acces").grant(demand, key)
    target.write_text(text)
    print(f"{target} : certificat n° {granted['serie']} de {granted['qui']}.")
    print(f"Valable jusqu'au {common.local(granted['fin'])}. Chaque session est enregistrée.")
    print(f"Périmètre : {', '.join(granted['principaux'])}")
    print(f"Avec la clé privée : ssh -i {cle.removesuffix('.pub')} {role}@ADRESSE")
    print(f"Pour y mettre fin avant : fab acces.revoquer {granted['serie']}")
    common.seal_access()


@task("fab acces.registre", reads=True, name="registre")
def access_list(context: Context) -> None:
    """Montre les accès délivrés, le plus récent d'abord."""
    rows = access.SshAuthority(common.home() / "acces").listing()
    table = Grid("N°", "État", "Rôle", "Titulaire", "Périmètre", "Fin", "Motif", "Délivré par")
    for row in rows:
        shown = (
            row["role"],
            row["qui"],
            "\n".join(row["principaux"]),
            common.local(row["fin"]),
            row["motif"],
            row["par"],
        )
        table.add(str(row["serie"]), row["etat"], *shown)
    table.show()


@task(
    'fab acces.revoquer 12 --motif "travaux finis"',
    name="revoquer",
    positional=["numero"],
    help={"numero": "voir fab acces.registre", "motif": "raison"},
)
def access_revoke(context: Context, numero: str, motif: str = "") -> None:
    """Révoque un accès, sur toutes les machines, et coupe ses sessions."""
    granted = access.SshAuthority(common.home() / "acces").revoke(numero, motif, evidence_store.operator())
    door = granted["evenement"] == access.DOOR
    print(f"{'Accès' if door else 'Certificat'} n° {granted['serie']} ({granted['role']}, {granted['qui']}) : révoqué.")
    common.seal_access()
    if door:
        common.fleet_does("fermeture de la porte de secours", lambda fleet: fleet.close_door(granted["serie"]))
        return
    done = common.playbook(context, "journeys/revoke_access.yml", *common.variables(serie=str(granted["serie"])))
    if not done:
        raise Exit(
            "Une machine au moins n'a pas reçu la révocation : relancez la même commande quand elle répond. Le "
            f"certificat y sert encore jusqu'au {common.local(granted['fin'])}.",
            code=1,
        )


@task("fab parapheur.revocations", name="revocations")
def signer_lists(context: Context) -> None:
    """Met à jour les listes de révocation des signataires, et les envoie au parapheur."""
    common.must_have("parapheur")
    common.must(common.playbook(context, "journeys/signer_lists.yml"), "Listes de révocation")


@task("fab parapheur.confiance", name="confiance")
def trusted_lists(context: Context) -> None:
    """Met à jour les listes de confiance de l'Union européenne, et les envoie au parapheur."""
    common.must_have("parapheur")
    common.must(common.playbook(context, "journeys/trusted_lists.yml"), "Listes de confiance")
