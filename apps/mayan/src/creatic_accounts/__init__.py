"""Accounts of Mayan are the rollout's: it alone makes them known, and nobody is whom they say they are."""
