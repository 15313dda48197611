"""Collects what an audit wants to know of this machine; read-only, run as root, nothing left behind."""
