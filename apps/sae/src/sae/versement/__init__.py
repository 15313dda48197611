"""Versement: a SIP comes in, is checked, becomes an AIP, is stored under WORM, and is answered."""
