# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Which of the registry's authorities signs, which will, which only lasts as long as what it signed.

Nothing of this is kept: it follows from the rows. Two issuing CAs that are ``valide`` are the one that signs and, of a
higher rank, the one that was prepared; ``remplace`` is one that signs no more. The root of the one that signs is the
root. So a renewal cannot be half written, and its phases cannot contradict the certificates.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, load_certificate, pem
from cryptography import x509

from creatic.pki.registry import REPLACED, REVOKED, UNFINISHED, Book
from creatic.pki.x509 import ISSUING, ROOT, issuer_key, subject_key


@dataclass(frozen=True)
class Member:
    """One authority: a key, under the last certificate it was given.

    Attributes:
        name: its folder, and its name in the registry: ``racine``, ``emettrice``, then ``racine2``, ``emettrice2``…
        role: ``racine`` or ``emettrice``.
        status: of that certificate, ``valide`` or ``remplace``.
    """

    name: str
    role: str
    status: str
    certificate: x509.Certificate

    @property
    def identifier(self) -> str:
        """Key identifier, hexadecimal: what the column ``emetteur`` holds for what it signed."""
        return subject_key(self.certificate).digest.hex()

    @property
    def rank(self) -> int:
        """1 for the first of its role."""
        return _name_rank(self.name)


def _name_rank(name: str) -> int:
    digits = re.search(r"[0-9]+$", name)
    return int(digits[0]) if digits else 1


class Lineage:
    """The authorities of an open registry at an instant, those that were revoked left out.

    Attributes:
        members: all of them.
        root, signing: the two that issue; None before they were made.
        coming: issuing CA that was prepared, and signs nothing yet.
        leaving: issuing CAs that sign only their revocation list, some of whose certificates are still good.
    """

    def __init__(self, book: Book, now: dt.datetime):
        self._book = book
        self.members = list(_read_members(book))
        issuing = sorted((one for one in self.members if one.role == ISSUING), key=lambda one: one.rank)
        active = [one for one in issuing if one.status != REPLACED]
        self.signing = active[0] if active else None
        self.coming = active[1] if len(active) > 1 else None
        self.leaving = [one for one in issuing if one.status == REPLACED and self.last_end(one, now)]
        roots = [one for one in self.members if one.role == ROOT]
        self.root = self.root_of(self.signing) if self.signing else next(iter(roots), None)

    def root_of(self, issuing: Member) -> Member:
        """Return the root that signed an issuing CA.

        Raises:
            PkiError: the registry does not know it.
        """
        wanted = issuer_key(issuing.certificate)
        found = [one for one in self.members if one.role == ROOT and one.identifier == wanted]
        if not found:
            raise PkiError(UNFINISHED)
        return found[0]

    @property
    def issuing(self) -> list[Member]:
        """The issuing CAs that are believed: the one that signs first."""
        return [one for one in (self.signing, self.coming, *self.leaving) if one]

    @property
    def roots(self) -> list[Member]:
        """The roots that are believed, the present one first."""
        found = [self.root] if self.root else []
        for one in map(self.root_of, self.issuing):
            if one not in found:
                found.append(one)
        return found

    @property
    def living(self) -> list[Member]:
        """All that are believed, roots first: each must have a fresh revocation list."""
        return [*self.roots, *self.issuing]

    @property
    def retired(self) -> list[Member]:
        """Those that nothing refers to any more but what was sealed or archived."""
        return [one for one in self.members if one not in self.living]

    def title(self, one: Member) -> str:
        """Say (French) what an authority does today."""
        if one in (self.root, self.signing):
            return "en service"
        if (
            self.coming
            and one in (self.coming, self.root_of(self.coming))
            and one not in map(self.root_of, self.leaving)
        ):
            return "à venir"
        return "jusqu'à son dernier certificat" if one in self.living else "retirée"

    def next_name(self, role: str) -> str:
        """Return the name of the next authority of a role."""
        ranks = [_name_rank(row["nom"]) for row in self._book.rows("profil = ?", role)]
        return f"{role}{max(ranks, default=0) + 1}"

    def last_end(self, issuing: Member, now: dt.datetime) -> str:
        """Return when the last certificate of an issuing CA ends (ISO 8601, UTC), empty when none is good any more."""
        found = self._book.rows(
            "emetteur = ? AND statut != ? AND fin > ?", issuing.identifier, REVOKED, now.isoformat()
        )
        return max((str(row["fin"]) for row in found), default="")

    def published(self) -> dict[str, str]:
        """Return what is handed out, as PEM.

        ``chain`` is the issuing CA that signs; ``ca`` all that are believed and ``crl`` their lists; ``root`` every
        root, the present one first, and ``history`` every authority: for what was signed, whenever it was.

        Raises:
            PkiError: the authority is unfinished.
        """
        if self.root is None or self.signing is None:
            raise PkiError(UNFINISHED)
        lists = [self._book.crl(one.certificate) for one in self.living]
        return {
            "root": _joined_pem([*self.roots, *(one for one in self.retired if one.role == ROOT)]),
            "chain": pem(self.signing.certificate),
            "ca": _joined_pem(self.living),
            "crl": "".join(pem(crl) for crl in lists if crl is not None),
            "history": _joined_pem([*self.living, *self.retired]),
        }


def _joined_pem(members: Iterable[Member]) -> str:
    return "".join(pem(one.certificate) for one in members)


def _read_members(book: Book) -> Iterable[Member]:
    last = {row["nom"]: row for row in book.rows("profil IN (?, ?)", ROOT, ISSUING)}
    for name, row in last.items():
        if row["statut"] != REVOKED:
            yield Member(name, row["profil"], row["statut"], load_certificate(row["pem"]))
