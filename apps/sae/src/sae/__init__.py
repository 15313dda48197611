"""The door of the archive room: versement, storage, journal, fixity, export and elimination."""
