"""The account that a client certificate opens."""

from __future__ import annotations

from creatic_agent.identity import Denied, certificate_of, names_of, siren_of
from sae.config import Account, Config


def depositor_of(header: str, config: Config) -> Account:
    """The account that a request may deposit in, from nginx's header alone. Raises Denied."""
    account = account_of(header, config)
    names = names_of(certificate_of(header))
    if account.depositors is not None and (len(names) != 1 or names[0] not in account.depositors):
        who = f"seul « {' », « '.join(account.depositors)} » le peut" if account.depositors else "personne ne le peut"
        raise Denied(
            f"Ce certificat (« {', '.join(names)[:100]} ») ouvre le compte de {account.label} sans pouvoir y verser : "
            f"{who}. Demandez au groupement de l'ajouter aux déposants."
        )
    return account


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
