"""The groupement's backup repositories, seen from the server, which has no key to them."""
