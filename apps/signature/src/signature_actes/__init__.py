"""Signatures of acts: PAdES and XAdES made with a PKCS#11 key, the server's seal, and the check of what was signed.

pyHanko signs and judges PDF, lxml and cryptography serve flows; what is refused is refused in French.
"""
