"""Prove that a clerk's browser reaches the TdT with its certificate, and that nothing is asked on the way."""
