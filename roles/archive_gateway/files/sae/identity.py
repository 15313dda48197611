"""The account that a client certificate opens."""

from __future__ import annotations

from creatic_agent.identity import Denied, certificate_of, names_of, siren_of
from sae.config import Account, Config


def depositor_of(header: str, config: Config) -> Account:
    """The account that a request may deposit in, from nginx's header alone. Raises Denied."""
    account = account_of(header, config)
    names = names_of(certificate_of(header))
    if not _deposits(names, account):
        who = f"seul « {' », « '.join(account.depositors)} » le peut" if account.depositors else "personne ne le peut"
        raise Denied(
            f"Ce certificat (« {', '.join(names)[:100]} ») ouvre le compte de {account.label} sans pouvoir y verser : "
            f"{who}. Demandez au groupement de l'ajouter aux déposants."
        )
    return account


def opened_by(header: str, config: Config) -> list[Account]:
    """The accounts that a certificate reads, its own first: with a commune's PC, those of the entities that it hosts.

    An entity has no PC of its own. Who deposits in a commune's account speaks for its SIREN alone, and an entity's
    certificate opens no account of the commune's. Raises Denied.
    """
    account = account_of(header, config)
    if _deposits(names_of(certificate_of(header)), account):
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


def _deposits(names: list[str], account: Account) -> bool:
    return account.depositors is None or (len(names) == 1 and names[0] in account.depositors)


def account_of(header: str, config: Config) -> Account:
    """The account of a request, from nginx's header alone. Raises Denied."""
    siren = siren_of(certificate_of(header))
    account = config.account_of(siren)
    if account is None:
        shown = f"au SIREN {siren}" if siren else "qui ne porte pas de SIREN (OU « 0002 … »)"
        raise Denied(
            f"Ce certificat {shown} n'ouvre aucun compte de ce service d'archivage : demandez-le au groupement."
        )
    return account
