# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What an authority needs to be whole: what is missing or near its end, and how it is made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    days_left,
    fingerprint,
    pem,
    utc_now,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.keys import Keys
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.registry import Book, Owner
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.x509 import (
    ISSUING,
    ISSUING_DAYS,
    ROOT,
    Settings,
    make_issuing,
    make_root,
)
from cryptography.hazmat.primitives.asymmetric import ec

CRL_DAYS, CRL_RENEW_DAYS = 30, 15
ROOT_CRL_DAYS, ROOT_CRL_RENEW_DAYS = 365, 180
ROOT_CRL_WARN_DAYS = 60
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
        self.known = book.authorities()
        self.steps: list[Callable[[], None]] = []
        self.report = Report()
        self._plan_settings()
        root_here = self._plan_root()
        if not self._plan_issuing(root_here, replace_issuing):  # which signs both CRLs too
            self._plan_lists(root_here)

    def take(self) -> None:
        """Take the steps."""
        for step in self.steps:
            step()

    def _plan(self, step: Callable[[], None], change: str) -> None:
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

    def _plan_root(self) -> bool:
        """Return whether the root's key is at hand, or will be."""
        root = self.known.get(ROOT)
        if root is None:
            self._plan(self._make_root, "autorité racine créée")
            return True
        if days_left(root, self.now) < ISSUING_DAYS:
            self.report.warnings.append(
                f"l'autorité racine expire le {root.not_valid_after_utc:%d/%m/%Y} : préparez la suivante"
            )
        return self.keys.path(ROOT).is_file()

    def _plan_issuing(self, root_here: bool, replace: bool) -> bool:
        """Return whether the issuing CA is to be certified."""
        issuing = self.known.get(ISSUING)
        if issuing is None:
            step, change = self._make_issuing, "autorité émettrice créée"
        elif replace:
            step, change = self._replace_issuing, "autorité émettrice révoquée et remplacée"
        elif days_left(issuing, self.now) < self.settings.leaf_days + 2 * MINIMUM_LEAF_DAYS:
            step, change = self._renew_issuing, "autorité émettrice renouvelée"
        else:
            return False
        if root_here:
            self._plan(step, change)
            return True
        if issuing is None or replace:
            raise PkiError(self.keys.root_needed("créer l'autorité émettrice"))
        self.report.warnings.append(self.keys.root_needed("renouveler l'autorité émettrice"))
        return False

    def _plan_lists(self, root_here: bool) -> None:
        key = self.keys.path(ISSUING)
        if not key.is_file():
            raise PkiError(f"clé de l'autorité émettrice absente : {key}. Restaurez-la depuis la sauvegarde")
        days = self.book.crl_days(self.known.get(ROOT), self.now)
        if days < ROOT_CRL_RENEW_DAYS and root_here:
            self._plan(lambda: self._sign_list(ROOT, ROOT_CRL_DAYS), "CRL de la racine renouvelée")
        elif days < ROOT_CRL_WARN_DAYS:
            self.report.warnings.append(self.keys.root_needed(f"renouveler sa CRL (il reste {days} jours)"))
        if self.book.crl_days(self.known[ISSUING], self.now) < CRL_RENEW_DAYS:
            self._plan(lambda: self._sign_list(ISSUING, CRL_DAYS), "CRL de l'autorité émettrice renouvelée")

    # -- how it is done --------------------------------------------------------------------------------

    def _make_root(self) -> None:
        key = self.keys.make(ROOT)
        root = make_root(self.settings, key)
        self.book.record(root, {"profile": ROOT, "name": ROOT}, Owner(""))
        write(self.keys.directory / ROOT / "certificat.pem", pem(root).encode(), 0o600)
        self.book.sign_crl(root, key, ROOT_CRL_DAYS)

    def _make_issuing(self) -> None:
        self._certify_issuing(self.keys.make(ISSUING))

    def _renew_issuing(self) -> None:
        self._certify_issuing(self.keys.load(ISSUING))

    def _replace_issuing(self) -> None:
        """Revoke the issuing CA, and with it all it issued; its own CRL is of no more use."""
        self.book.revoke(self.book.rows("profil != ? AND statut != 'revoque'", ROOT), "compromission_ac", utc_now())
        self._make_issuing()

    def _certify_issuing(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Have the root sign the issuing CA's key, then both CRLs."""
        root, root_key = self.book.authority(ROOT), self.keys.load(ROOT)
        mark = fingerprint(key.public_key())[:4].upper()
        issuing = make_issuing(self.settings, key.public_key(), mark, root, root_key)
        self.book.record(issuing, {"profile": ISSUING, "name": ISSUING}, Owner(""))
        self.book.sign_crl(root, root_key, ROOT_CRL_DAYS)
        self.book.sign_crl(issuing, key, CRL_DAYS)

    def _sign_list(self, role: str, days: int) -> None:
        self.book.sign_crl(self.book.authority(role), self.keys.load(role), days)
