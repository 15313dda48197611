"""The account that a client certificate opens."""

from __future__ import annotations

from creatic_agent.identity import Denied, Identity, Kind, certificate_of, identity_of, shown
from sae.config import Account, Config

# What bears the SIREN of an account reads it; a person, the accounts of the entities that it hosts too. What is in
# neither (machine, service, nobody) has no right.
_READER_KINDS = frozenset({Kind.PERSON, Kind.CONNECTOR})
_READS_HOSTED = frozenset({Kind.PERSON})


def caller(header: str, config: Config) -> tuple[Identity, Account]:
    """Who asks, from nginx's header alone, and the account of its SIREN. Raises Denied: it reads none."""
    certificate = certificate_of(header)
    who = identity_of(certificate)
    account = config.account_of(who.siren) if who.kind in _READER_KINDS else None
    if account is None:
        raise Denied(
            f"Ce certificat {shown(certificate)} n'ouvre aucun compte de ce service d'archivage : demandez-le au "
            "groupement."
        )
    return who, account


def depositor_of(header: str, config: Config) -> Account:
    """The account that a request may deposit in, from nginx's header alone. Raises Denied."""
    who, account = caller(header, config)
    if not _is_depositor(who, account):
        named = " », « ".join(account.depositors or ())
        allowed = f"seul « {named} » le peut" if named else "personne ne le peut"
        raise Denied(
            f"Ce certificat (« {who.name} ») ouvre le compte de {account.label} sans pouvoir y verser : "
            f"{allowed}. Demandez au groupement de l'ajouter aux déposants."
        )
    return account


def opened_by(header: str, config: Config) -> list[Account]:
    """The accounts that a certificate reads, its own first: with a commune's PC, those of the entities that it hosts.

    An entity has no PC of its own. Who deposits in a commune's account speaks for its SIREN alone, and an entity's
    certificate opens no account of the commune's. Raises Denied.
    """
    who, account = caller(header, config)
    if who.kind not in _READS_HOSTED or _is_depositor(who, account):
        return [account]
    return [account, *sorted(config.hosted_by(account), key=lambda one: one.label)]


def reader_of(header: str, config: Config, chosen: str) -> Account:
    """The account that a request reads.

    Args:
        header: nginx's, and nothing else, says what is opened.
        config: of the door.
        chosen: name of an account, among those opened; empty for the certificate's own.

    Raises:
        Denied: the certificate does not open it.
    """
    opened = opened_by(header, config)
    found = next((one for one in opened if chosen in ("", one.name)), None)
    if found is None:
        names = ", ".join(one.name for one in opened)
        raise Denied(f"Ce certificat n'ouvre pas le compte « {chosen[:60]} ». Il ouvre : {names}.")
    return found


def _is_depositor(who: Identity, account: Account) -> bool:
    """Whether who reads an account deposits in it: its list tells whom apart, of one SIREN; without one, all do."""
    return account.depositors is None or who.name in account.depositors
