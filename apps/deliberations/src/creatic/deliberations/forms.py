"""Forms: of a meeting, a projet and its vote; what is refused is said beside its field."""

from __future__ import annotations

from typing import Any

from Acquisition import aq_base
from creatic.deliberations import budgets, content, delays, frozen, hidden, pieces
from creatic.deliberations.places import commune_of, law_of, meeting_of
from plone.app.contentmenu.menu import WorkflowSubMenuItem
from plone.dexterity.browser.edit import DefaultEditForm
from plone.z3cform import layout
from plone.z3cform.fieldsets.extensible import FormExtender
from z3c.form.error import ErrorViewSnippet
from z3c.form.validator import SimpleFieldValidator
from zope.schema import getFieldNamesInOrder

_VOTES = "votes"
_FILE_HOLDER_TYPES = {"projet", "seance", "Publication"}  # what people bring files to
# How it will be voted, which who prepares a projet says too.
_VOTING_PLAN_FIELDS = ("compte", "compte_de", "nomination", "scrutin")


class OfItsCouncil(FormExtender):
    """Neither an emergency where no text lets the delay be shortened (CASF, R123-16), nor a general renewal but of a
    conseil municipal (L2121-7)."""

    def update(self) -> None:
        """Take out what is not asked."""
        body = law_of(self.context)
        days = int(getattr(commune_of(self.context), "creatic_convocation_jours", None) or 0)
        unasked = [] if delays.urgency(body, days) else ["urgence", "urgence_pour"]
        unasked += [] if body.renewal.value is not None else ["scrutin_le"]
        for name in unasked:
            if name in self.form.fields:
                self.remove(name)


class WithoutVotes(FormExtender):
    """Who writes a projet is not asked who voted: presence and votes have their page."""

    def update(self) -> None:
        """Take out the votes."""
        if not isinstance(self.form, VoteForm):
            self.form.groups = [one for one in self.form.groups if getattr(one, "__name__", "") != _VOTES]


class VoteForm(DefaultEditForm):
    """Who is there at an item, and how each voted: one page, without the text."""

    fields: Any
    groups: Any
    widgets: Any
    status: Any

    success_message = "Présence et vote notés."

    @property
    def label(self) -> str:
        """What the page is, and of which item."""
        return f"Présence et vote : {self.context.title}"

    @property
    def formErrorsMessage(self) -> str:  # noqa: N802 # z3c.form calls it
        """What is refused, field by field."""
        said = []
        for widget in self.widgets.values():
            if widget.error is not None:
                said.append(f"« {widget.label} » : {widget.error.message}")
        return f"Rien n'est noté. {' '.join(said)}" if said else "Rien n'est noté : des champs sont à corriger."

    def update(self) -> None:
        """Say who leaves and who presides, where the accounts of a maire are voted."""
        super().update()
        self.status = self.status or self.context.accounts_said()

    def updateFields(self) -> None:  # noqa: N802 # z3c.form calls it
        """Ask for the vote alone."""
        super().updateFields()
        votes = next(one for one in self.groups if getattr(one, "__name__", "") == _VOTES)
        known = self.fields + votes.fields
        asked = {*_VOTING_PLAN_FIELDS, *votes.fields.keys()}
        self.fields = known.select(*(name for name in getFieldNamesInOrder(content.IProjet) if name in asked))
        self.groups = ()

    def extractData(self, setErrors: bool = True) -> Any:  # noqa: N803, N802 # z3c.form calls it
        """A secret vote is counted whole, or not yet at all: none found is written 0."""
        data, errors = super().extractData(setErrors)
        if errors:
            return data, errors
        entered = _Entered(self.context, data)
        for name, said in content.uncounted(entered).items():
            errors += (_field_error(self.widgets[name], said[:1].upper() + said[1:] + ".", self),)
        if setErrors:
            self.widgets.errors = errors
        return data, errors


VoteView = layout.wrap_form(VoteForm)


class _Entered:
    """A projet as it would be with what a form holds."""

    def __init__(self, projet: Any, data: dict[str, Any]) -> None:
        self._projet, self._data = projet, data

    def __getattr__(self, name: str) -> Any:
        return self._data[name] if name in self._data else getattr(self._projet, name)


def _field_error(widget: Any, said: str, form: Any) -> ErrorViewSnippet:
    """Say what is wrong beside a field."""
    error = content.Wrong(said)
    found = ErrorViewSnippet(error, widget.request, widget, widget.field, form, form.getContent())
    found.update()
    widget.error = found
    return found


class RefusedAsAWhole(ErrorViewSnippet):
    """What a schema refuses as a whole, beside the fields that it is about."""

    widget: Any

    def update(self) -> None:
        """Find them."""
        super().update()
        self.message = self.error.doc()
        for name, said in self.error.told.items():
            widget = next((one for one in self.form.widgets.values() if one.field.__name__ == name), None)
            if widget is not None:
                _field_error(widget, ". ".join(f"{one[:1].upper()}{one[1:]}" for one in said) + ".", self.form)
                self.widget = self.widget or widget


class Annex(SimpleFieldValidator):
    """A file of a projet, or of what is published by hand, is judged on the form that brings it; `watch` judges it
    whatever way it comes."""

    def validate(self, value: Any, force: bool = False) -> None:
        """Raises Wrong with why it is not taken."""
        super().validate(value, force)
        kept = getattr(aq_base(self.context), self.field.__name__, None)
        if value is None or value is kept or not hasattr(value, "data"):
            return  # one that was there before it was judged stays, with another title
        chain = getattr(self.context, "aq_chain", ())
        kinds = {getattr(aq_base(one), "portal_type", "") for one in chain[:2]}
        # The form that adds a publication stands in its folder; a field of one of its tabs, in the tab.
        form = getattr(self.view, "parentForm", self.view)
        if not _FILE_HOLDER_TYPES & {*kinds, getattr(form, "portal_type", "")}:
            return
        if self.field.__name__ == frozen.BUDGET:
            self._judge_budget(value)
            return
        if said := pieces.problem(str(value.filename or ""), value.data):
            self.widget.value = None  # else the form keeps it, and offers to send it once more
            raise content.Wrong(f"« {value.filename} » n'est pas accepté : {said}.")

    def _judge_budget(self, value: Any) -> None:
        """Raises Wrong with why the XML of a budget is not that of this projet."""
        subject = str(self.request.form.get("form.widgets.title") or getattr(self.context, "title", ""))
        siren = str(getattr(commune_of(self.context), "creatic_siren", "") or "")
        try:
            wrong = budgets.problems(
                str(value.filename or ""), value.data, siren, meeting_of(self.context).date, subject
            )
        except hidden.UnfitDocumentError as error:
            wrong = [f"« {value.filename} » : {error}."]
        if wrong:
            self.widget.value = None
            raise content.Wrong(" ".join(wrong))


class NoStateMenu(WorkflowSubMenuItem):
    """The state of a meeting, or of a projet, changes by the buttons of its page, which say what lacks."""

    def available(self) -> bool:
        """Never: a menu says nothing of what lacks."""
        return False
