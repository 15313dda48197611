"""A machine's backup: its keys, its snapshots of databases, borgmatic, its restoration."""
