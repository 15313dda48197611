"""Interfaces of this package."""

from plonemeeting.portal.core.interfaces import IPlonemeetingPortalCoreLayer


class IDeliberationsLayer(IPlonemeetingPortalCoreLayer):
    """Requests of the site of the délibérations: its pages come before the portal's."""
