"""Signatures of acts: PAdES and XAdES made with a PKCS#11 key, the server's seal, and the check of what was signed.

pyHanko and signxml do the work; what is refused is refused in French.
"""
