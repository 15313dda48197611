# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What an authority needs to be whole: what is missing or near its end, and how it is made again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    days_left,
    fingerprint,
    pem,
    utc_now,
)
from cryptography.hazmat.primitives.asymmetric import ec

from creatic.pki.keys import Keys
from creatic.pki.lineage import Lineage, Member
from creatic.pki.registry import VALID, Book, Owner
from creatic.pki.x509 import (
    ISSUING,
    ROOT,
    Settings,
    make_issuing,
    make_root,
)

CRL_DAYS, CRL_RENEW_DAYS = 30, 15
ROOT_CRL_DAYS, ROOT_CRL_RENEW_DAYS = 365, 180
ROOT_CRL_WARN_DAYS = 60
WATCH_DAYS = (90, 183, 365)  # left to an authority: 3 months, 6 months, a year
TITLES = {ROOT: "autorité racine", ISSUING: "autorité émettrice"}
MINIMUM_LEAF_DAYS = 60  # the issuing CA must outlive a certificate by that much, or it must be renewed


@dataclass
class Report:
    """What `Authority.ensure` did, and what needs a human (both French)."""

    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Upkeep:
    """Plans, then takes, the steps that bring an open registry to its settings.

    Attributes:
        steps: what is to do, in order; empty when all is well.
        report: the same for a reader, and what needs a human.
    """

    def __init__(self, book: Book, keys: Keys, settings: Settings, replace_issuing: bool):
        self.book = book
        self.keys = keys
        self.settings = settings
        self.now = utc_now()
        self.lineage = Lineage(book, self.now)
        self.steps: list[Callable[[], object]] = []
        self.report = Report()
        self._plan_settings()
        if self.lineage.root is None:
            self._plan_step(lambda: certify_root(book, keys, settings, ROOT), "autorité racine créée")
        if not self._plan_issuing(replace_issuing):  # which signs both CRLs too
            self._plan_lists()
        self.report.warnings += expiries(self.lineage, self.now)

    def take(self) -> None:
        """Take the steps."""
        for step in self.steps:
            step()

    def _plan_step(self, step: Callable[[], object], change: str) -> None:
        self.steps.append(step)
        self.report.changes.append(change)

    # -- what there is to do ---------------------------------------------------------------------------

    def _plan_settings(self) -> None:
        before, settings = self.book.settings(), self.settings
        if before and (before.organization, before.label) != (settings.organization, settings.label):
            raise PkiError(
                f"l'autorité de {self.keys.directory} s'appelle « {before.label} » ({before.organization}) : "
                "son nom ne change plus ; faites-en une autre dans un autre dossier"
            )
        if before != settings:
            self.steps.append(lambda: self.book.keep_settings(settings))
            if before:
                self.report.changes.append("réglages de l'autorité modifiés")

    def _plan_issuing(self, replace: bool) -> bool:
        """Return whether the issuing CA is to be certified."""
        root, issuing = self.lineage.root, self.lineage.signing
        if issuing is None:
            step: Callable[[], object] = self._make_issuing
            change = "autorité émettrice créée"
        elif replace:
            step, change = partial(self._replace_issuing, issuing), "autorité émettrice révoquée et remplacée"
        elif self.lineage.coming:
            return False  # the next one is there already
        elif days_left(issuing.certificate, self.now) < self.settings.leaf_days + 2 * MINIMUM_LEAF_DAYS:
            step, change = partial(self._renew_issuing, issuing), "autorité émettrice renouvelée"
        else:
            return False
        if (
            issuing
            and root
            and not replace
            and issuing.certificate.not_valid_after_utc >= root.certificate.not_valid_after_utc
        ):
            self.report.warnings.append(
                "l'autorité émettrice ne peut pas durer plus que sa racine. "
                "À faire : fab pki.renouveler --autorite racine"
            )
            return False
        # A compromise is told by every root that is still believed.
        signers = self.lineage.roots if replace else [root] if root else []
        made = issuing is None or replace
        purpose = f"{'créer' if made else 'renouveler'} l'autorité émettrice"
        lacking = [why for one in signers if (why := self.keys.unavailable_reason(one.name, purpose))]
        if not lacking:
            self._plan_step(step, change)
            return True
        if made:
            raise PkiError(lacking[0])
        self.report.warnings.append(lacking[0])
        return False

    def _plan_lists(self) -> None:
        for one in self.lineage.issuing:
            key = self.keys.path(one.name)
            if not key.is_file():
                raise PkiError(f"clé de l'autorité émettrice absente : {key}. Restaurez-la depuis la sauvegarde")
        for one in self.lineage.roots:
            days = self.book.crl_days(one.certificate, self.now)
            why = self.keys.unavailable_reason(one.name, f"renouveler sa CRL (il reste {days} jours)")
            if days < ROOT_CRL_RENEW_DAYS and not why:
                self._plan_step(
                    partial(self._sign_list, one, ROOT_CRL_DAYS), f"CRL de la racine renouvelée{_authority_phrase(one)}"
                )
            elif days < ROOT_CRL_WARN_DAYS:
                self.report.warnings.append(why)
        for one in self.lineage.issuing:
            if self.book.crl_days(one.certificate, self.now) < CRL_RENEW_DAYS:
                change = f"CRL de l'autorité émettrice renouvelée{_authority_phrase(one)}"
                self._plan_step(partial(self._sign_list, one, CRL_DAYS), change)

    # -- how it is done --------------------------------------------------------------------------------

    def _make_issuing(self) -> None:
        root = Lineage(self.book, self.now).root  # the step before may just have made it
        if root:
            certify_issuing(self.book, self.keys, self.settings, ISSUING, self.keys.make(ISSUING), root)

    def _renew_issuing(self, issuing: Member) -> None:
        key, root = self.keys.load(issuing.name), self.lineage.root_of(issuing)
        certify_issuing(self.book, self.keys, self.settings, issuing.name, key, root)

    def _replace_issuing(self, issuing: Member) -> None:
        """Revoke every issuing CA, and with them all they issued; their own lists are of no more use."""
        rows = self.book.rows("profil != ? AND statut != 'revoque'", ROOT)
        self.book.revoke(rows, "compromission_ac", utc_now())
        for root in self.lineage.roots:
            self._sign_list(root, ROOT_CRL_DAYS)
        key, root = self.keys.make(issuing.name), self.lineage.root_of(issuing)
        certify_issuing(self.book, self.keys, self.settings, issuing.name, key, root)

    def _sign_list(self, one: Member, days: int) -> None:
        self.book.sign_crl(one.certificate, self.keys.load(one.name), days)


def certify_root(book: Book, keys: Keys, settings: Settings, name: str) -> Member:
    """Make a root, and its first list."""
    key = keys.make(name)
    root = make_root(settings, key, name.removeprefix(ROOT))
    book.record(root, {"profile": ROOT, "name": name}, Owner(""))
    write(keys.directory / name / "certificat.pem", pem(root).encode(), 0o600)
    book.sign_crl(root, key, ROOT_CRL_DAYS)
    return Member(name, ROOT, VALID, root)


def certify_issuing(
    book: Book, keys: Keys, settings: Settings, name: str, key: ec.EllipticCurvePrivateKey, root: Member
) -> None:
    """Have a root sign an issuing CA's key, then sign both lists.

    Raises:
        PkiError: the root's key is away or is another's.
    """
    root_key = keys.load_for(root.name, root.certificate)
    mark = fingerprint(key.public_key())[:4].upper()
    issuing = make_issuing(settings, key.public_key(), mark, root.certificate, root_key, root.name)
    book.record(issuing, {"profile": ISSUING, "name": name}, Owner(""))
    book.sign_crl(root.certificate, root_key, ROOT_CRL_DAYS)
    book.sign_crl(issuing, key, CRL_DAYS)


def expiries(lineage: Lineage, now: dt.datetime, within: int = WATCH_DAYS[-1]) -> list[str]:
    """Say (French) which authorities of today have less than that many days, in steps of `WATCH_DAYS`, and the fix."""
    found = []
    for one in (lineage.root, lineage.signing):
        if one is None or (lineage.coming and one not in (lineage.root_of(lineage.coming), lineage.coming)):
            continue
        days = days_left(one.certificate, now)
        limit = next((limit for limit in WATCH_DAYS if days < limit), 0)
        if limit and days < within:
            end = f"{one.certificate.not_valid_after_utc:%d/%m/%Y}"
            found.append(
                f"{TITLES[one.role]} « {one.name} » : expire le {end} (moins de {limit} jours). "
                f"À faire : fab pki.renouveler --autorite {one.role}"
            )
    return found


def _authority_phrase(one: Member) -> str:
    return f" ({one.name})" if one.rank > 1 else ""
