"""Watches the certificates of a machine: table, metrics, warnings, and proof that they serve."""
