"""Fetches what a machine that nobody can reach has to become, verifies it, applies it, and says how it went."""
