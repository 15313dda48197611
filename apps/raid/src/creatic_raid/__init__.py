"""State of the encrypted volumes of this machine: a table, figures, and what mdadm notices. See cli.py."""
