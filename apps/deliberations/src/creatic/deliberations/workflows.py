"""The two workflows, as tables; Plone's DCWorkflow runs them and keeps who did what, when and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

AGENTS = ("Redacteur", "DGS", "Maire")
ROLES = (*AGENTS, "Passerelle")
_VIEW = ("View", "Access contents information")
_WRITE = ("Modify portal content",)
_FILL = ("Add portal content", "plone.app.contenttypes: Add File")
_DELETE = ("Delete objects",)
_ADD_PROJET = ("creatic.deliberations: Add projet",)


@dataclass(frozen=True)
class State:
    """A state: who sees, who writes, who adds (annexes, or projets in a meeting), who deletes."""

    title: str
    see: Sequence[str]
    write: Sequence[str] = ()
    add: Sequence[str] = ()
    delete: Sequence[str] = ()


@dataclass(frozen=True)
class Transition:
    """A transition: from where, to where, by whom."""

    title: str
    origins: Sequence[str]
    target: str
    roles: Sequence[str]


@dataclass(frozen=True)
class Workflow:
    """A workflow; its first state is where objects begin."""

    title: str
    states: Mapping[str, State]
    transitions: Mapping[str, Transition]


_WRITERS = ("Redacteur", "DGS")

WORKFLOWS = {
    "seance": Workflow(
        "Séance",
        {
            "en_preparation": State("En préparation", AGENTS, ("DGS",), _WRITERS, ("DGS",)),
            "convoquee": State("Convoquée", AGENTS, ("DGS",)),
            "annulee": State("Annulée", AGENTS),
            "ouverte": State("Ouverte", AGENTS, ("DGS",)),
            "close": State("Close", AGENTS),
            "sans_quorum": State("Quorum non atteint", AGENTS),
        },
        {
            "convoquer": Transition("Convoquer", ("en_preparation",), "convoquee", ("DGS", "Maire")),
            "reprendre": Transition("Reprendre l'ordre du jour", ("convoquee", "annulee"), "en_preparation", ("DGS",)),
            "annuler": Transition("Annuler la séance", ("convoquee",), "annulee", ("DGS", "Maire")),
            "ouvrir": Transition("Ouvrir la séance", ("convoquee",), "ouverte", ("DGS", "Maire")),
            "constater": Transition("Constater l'absence de quorum", ("convoquee",), "sans_quorum", ("DGS", "Maire")),
            "clore": Transition("Clore la séance", ("ouverte",), "close", ("DGS", "Maire")),
        },
    ),
    "projet": Workflow(
        "Projet de délibération",
        {
            "brouillon": State("Brouillon", AGENTS, _WRITERS, _WRITERS, _WRITERS),
            "a_valider": State("À valider", AGENTS, ("DGS",), ("DGS",)),
            "inscrit": State("Inscrit à l'ordre du jour", AGENTS, ("DGS",), ("DGS",)),
            "adopte": State("Adopté", (*AGENTS, "Passerelle")),
            "rejete": State("Rejeté", AGENTS),
            "ajourne": State("Ajourné", AGENTS),
            "retire": State("Retiré de l'ordre du jour", AGENTS),
            "publie": State("Publié", (*AGENTS, "Passerelle")),
        },
        {
            "soumettre": Transition("Soumettre au DGS", ("brouillon",), "a_valider", _WRITERS),
            "renvoyer": Transition("Renvoyer au rédacteur", ("a_valider", "inscrit"), "brouillon", ("DGS",)),
            "inscrire": Transition("Inscrire à l'ordre du jour", ("a_valider",), "inscrit", ("DGS",)),
            "adopter": Transition("Adopter", ("inscrit",), "adopte", ("DGS",)),
            "rejeter": Transition("Rejeter", ("inscrit",), "rejete", ("DGS",)),
            "ajourner": Transition("Ajourner", ("inscrit",), "ajourne", ("DGS",)),
            "retirer": Transition("Retirer de l'ordre du jour", ("inscrit",), "retire", ("DGS",)),
            "revenir": Transition("Reprendre ce point", ("adopte", "rejete", "ajourne", "retire"), "inscrit", ("DGS",)),
            "publier": Transition("Publier", ("adopte",), "publie", ("Passerelle", "DGS", "Maire")),
        },
    ),
}


def _permissions(kind: str, state: State) -> dict[str, Sequence[str]]:
    given: dict[str, Sequence[str]] = {}
    for names, roles in ((_VIEW, state.see), (_WRITE, state.write), (_FILL, state.add), (_DELETE, state.delete)):
        given |= dict.fromkeys(names, ("Manager", *roles))
    if kind == "seance":
        given |= dict.fromkeys(_ADD_PROJET, ("Manager", *state.add))
    return given


def install(tool: Any) -> None:
    """Make the workflows anew in Plone's workflow tool and bind them to their types."""
    from Products.DCWorkflow.DCWorkflow import DCWorkflowDefinition
    from Products.DCWorkflow.Guard import Guard

    for kind, wanted in WORKFLOWS.items():
        name = f"{kind}_workflow"
        if name in tool.objectIds():
            tool.manage_delObjects([name])
        made = DCWorkflowDefinition(name)
        made.setProperties(title=wanted.title)
        made.manager_bypass = False
        tool._setObject(name, made)
        made = tool[name]
        given = {one: _permissions(kind, state) for one, state in wanted.states.items()}
        made.permissions = tuple(next(iter(given.values())))
        for one, state in wanted.states.items():
            made.states.addState(one)
            leaving = tuple(key for key, transition in wanted.transitions.items() if one in transition.origins)
            made.states[one].setProperties(title=state.title, transitions=leaving)
            for permission, roles in given[one].items():
                made.states[one].setPermission(permission, False, roles)
        made.states.setInitialState(next(iter(wanted.states)))
        for key, transition in wanted.transitions.items():
            made.transitions.addTransition(key)
            made.transitions[key].setProperties(
                title=transition.title,
                new_state_id=transition.target,
                actbox_name=transition.title,
                actbox_url="%(content_url)s",  # whose page has the form: a link changes no state
                props={
                    "guard_roles": ";".join(transition.roles),
                    "guard_expr": f"python: not here.obstacles('{key}')",
                },
            )
        _add_variables(made, Guard)
        tool.setChainForPortalTypes((kind,), (name,))


def _add_variables(workflow: Any, guard: Any) -> None:
    for name, expression, kept in (
        ("action", "transition/getId|nothing", True),
        ("actor", "user/getId", True),
        ("comments", "python:state_change.kwargs.get('comment', '')", True),
        ("time", "state_change/getDateTime", True),
        ("review_history", "state_change/getHistory", False),
    ):
        workflow.variables.addVariable(name)
        workflow.variables[name].setProperties(
            description="", default_expr=expression, for_catalog=0, for_status=kept, update_always=kept
        )
    workflow.variables.setStateVar("review_state")
