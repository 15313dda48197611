"""Forms of a meeting: they ask for nothing that no text knows for its council."""

from __future__ import annotations

from creatic.deliberations import delays, publicity
from creatic.deliberations.content import commune_of
from plone.z3cform.fieldsets.extensible import FormExtender


class OfItsCouncil(FormExtender):
    """Neither an emergency where no text lets the delay be shortened (CASF, R123-16), nor a general renewal but of a
    conseil municipal (L2121-7)."""

    def update(self) -> None:
        """Take out what is not asked."""
        own = commune_of(self.context)
        kind = str(getattr(own, "creatic_type", None) or publicity.COMMUNE)
        days = int(getattr(own, "creatic_convocation_jours", None) or 0)
        unasked = [] if delays.urgency(0, kind, days) else ["urgence", "urgence_pour"]
        unasked += [] if kind == publicity.COMMUNE else ["scrutin_le"]
        for name in unasked:
            if name in self.form.fields:
                self.remove(name)
