"""What Mayan lacks of a parapheur: signatures that are checked, refusals with a reason, delegations, letters.

Mayan keeps the documents, the accounts and the workflows; who may pass a step is told by the communes' files
(`configuration`), and everything that moves a dossier goes by `circuit`.
"""
