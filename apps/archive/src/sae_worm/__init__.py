"""WORM (write once, read many) for OpenStack Swift: what enters a WORM container stays until its date."""
