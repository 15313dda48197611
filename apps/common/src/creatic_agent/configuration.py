# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The one reader of what roles write for applications: a dataclass declares the fields, this reads and checks them.

Every fault is told at once, in French, with the file, the field and what to do; a field that nothing declares is
refused; a value that `repr` does not show is not shown. On the standard library alone: it starts with agents that a
timer runs each few minutes on the smallest machines (docs/design/configuration.md).
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import types
import typing
from collections import abc
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from creatic_agent.reasons import reason

_SUDO = "votre compte n'a pas le droit de le lire. Lancez la commande avec sudo."
_FIX = "À faire : corrigez l'inventaire, puis relancez le déploiement."
_PLAIN: Mapping[Any, tuple[Callable[[Any], bool], str]] = {
    Any: (lambda _raw: True, ""),
    str: (lambda raw: isinstance(raw, str), "doit être un texte ; mettez-le entre guillemets."),
    bool: (lambda raw: isinstance(raw, bool), "n'est pas un choix ; écrivez true ou false."),
    int: (lambda raw: type(raw) is int, "doit être un nombre entier, sans guillemets."),
    float: (lambda raw: type(raw) in (int, float) and abs(raw) < 1e300, "doit être un nombre, sans guillemets."),
    Path: (lambda raw: isinstance(raw, str) and raw != "", "doit être un chemin, entre guillemets."),
}


class ConfigError(Exception):
    """The configuration cannot be used. Its text, in French, has one line per fault: file, field, fix."""


@dataclasses.dataclass(frozen=True)
class Key:
    """Where a field is in the file, when it has not the field's own name: ``courriel.port`` is a field of an object.

    One that is `needed` must be in its object, where there is one: what it has by default is without that object.
    """

    name: str
    needed: bool = False


UNWRITTEN = Key("")
"""Of a field that is the same everywhere: the file does not have it."""


@dataclasses.dataclass(frozen=True)
class From:
    """A field that is read as another type, then made by a function; its ValueError is a fault, in French.

    One that an annotation holds is no lambda: Python reads annotations where these find no name of the module.
    """

    kind: Any
    make: Callable[[Any], Any]


class _Faults(ValueError):
    """What is wrong in the parts of a value, each with its place under it."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__()
        self.found = found


def load[T](
    path: Path, kind: type[T], others: Collection[str] = (), checks: Mapping[str, Any] | None = None, **given: Any
) -> T:
    """Read a file (JSON or YAML, by its name) as the dataclass declares it. Raises ConfigError.

    Args:
        others: fields of the file that others read (`section`).
        checks: what a field goes through besides, by its name in the file: what only the caller knows.
        given: fields of the dataclass that are not of the file.
    """
    return declared(path, kind, content(path), others=others, checks=checks or {}, given=given)


def section[T](path: Path, name: str, kind: type[T]) -> T:
    """Read one object of a file, as empty if it is not there. Raises ConfigError."""
    found = content(path)
    return declared(path, kind, found.get(name, {}), name) if isinstance(found, dict) else declared(path, kind, found)


def declared[T](source: object, kind: type[T], raw: object, at: str = "", **more: Any) -> T:
    """Make the dataclass of what a source has at a place. Raises ConfigError, which names the source and the fields."""
    faults: list[tuple[str, str]] = []
    if found := _try(faults, at, lambda: _object(kind, raw, **more)):
        return typing.cast("tuple[T]", found)[0]
    lines = [f"{source}, champ « {place} » : {text}" if place else f"{source} : {text}" for place, text in faults]
    raise ConfigError("\n".join(lines) + ("\n" if len(lines) > 1 else " ") + _FIX)


def content(path: Path) -> Any:
    """What a file of JSON or YAML says. Raises ConfigError."""
    kind, line = ("YAML", "") if path.suffix in (".yml", ".yaml") else ("JSON", "")
    try:
        text = path.read_text(encoding="utf-8")
        if kind == "JSON":
            return json.loads(text)
        import yaml  # not on every machine

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            where = getattr(error, "problem_mark", None)
            line = f", ligne {where.line + 1}" if where else ""
    except PermissionError as error:
        raise ConfigError(f"{path} : {_SUDO}") from error
    except OSError as error:
        raise ConfigError(f"{path} : lecture impossible ({reason(error)}). Relancez le déploiement.") from error
    except ValueError as error:  # JSON's, or that of a text that is not in UTF-8
        line = f", ligne {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
    raise ConfigError(f"{path}{line} : ce n'est pas du {kind} valide. Relancez le déploiement.")


# -- what makes a field of what is read --------------------------------------------------------------------


def filled(value: str) -> str:
    """A text that says something."""
    if not value:
        raise ValueError("ce champ est vide ; remplissez-le.")
    return value


def positive(value: float) -> float:
    """A number that counts something."""
    if value <= 0:
        raise ValueError(f"« {value} » doit être un nombre supérieur à zéro.")
    return value


def absolute(value: Path) -> Path:
    """A path that does not depend on where the program is started."""
    if not value.is_absolute():
        raise ValueError(f"« {value} » doit être un chemin absolu.")
    return value


def by(name: str) -> Callable[[Iterable[Any]], dict[str, Any]]:
    """A list of what has a name, by that name; two of one name are refused."""

    def named(items: Iterable[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in items:
            if found.setdefault(getattr(one, name), one) is not one:
                raise ValueError(f"« {getattr(one, name)} » y est deux fois ; gardez-en un.")
        return found

    return named


def one_of(words: Mapping[str, Any]) -> Callable[[str], Any]:
    """A word of a list, which stands for a value."""

    def chosen(word: str) -> Any:
        if word not in words:
            raise ValueError(f"« {word[:60]} » est inconnu ; écrivez {' ou '.join(words)}.")
        return words[word]

    return chosen


def _whole(raw: Any) -> Any:
    return int(raw) if isinstance(raw, str) and raw.isascii() and raw.isdecimal() else _read(int, raw)


def _number(raw: Any) -> Any:
    digits = raw.replace(".", "", 1) if isinstance(raw, str) else ""
    return _read(float, float(raw) if digits.isascii() and digits.isdecimal() else raw)


def secret(file: Path) -> str:
    """What a file says that others may not read. One that is written here instead is not shown."""
    if not file.is_absolute():
        raise ValueError("ce n'est pas le chemin absolu d'un fichier ; donnez-le.")
    try:
        return file.read_text(encoding="utf-8").strip()
    except PermissionError as error:
        raise ConfigError(f"{file} : {_SUDO}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "ce n'est pas du texte"
        raise ValueError(f"« {file} », fichier illisible ({why}) ; vérifiez son chemin et ses droits.") from error


Whole = Annotated[int, From(Any, _whole)]  # in quotes or not: inventories have both
Number = Annotated[float, From(Any, _number)]  # as well
SomePath = Annotated[Path | None, From(str, lambda text: Path(text) if text else None)]
Secret = Annotated[str, From(Path, secret)]  # the file says where it is

# -- reading -----------------------------------------------------------------------------------------------


@functools.cache
def _tree(kind: type) -> Mapping[str, Any]:
    """The fields of a dataclass by their names in the file, those of an object under it: field, type, needed."""
    hints, tree = typing.get_type_hints(kind, include_extras=True), dict[str, Any]()
    for field in dataclasses.fields(kind):
        marks = getattr(hints[field.name], "__metadata__", ())
        key = next((mark for mark in marks if isinstance(mark, Key)), Key(field.name))
        if key == UNWRITTEN:
            continue
        *objects, name = key.name.split(".")
        functools.reduce(lambda found, one: found.setdefault(one, {}), objects, tree)[name] = (
            field, hints[field.name], key.needed,
        )  # fmt: skip # one entry
    return tree


_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


def _object(
    kind: Any,
    raw: object,
    others: Collection[str] = (),
    checks: Mapping[str, Any] = _NOTHING,
    given: Mapping[str, Any] = _NOTHING,
) -> Any:
    tree = {name: one for name, one in _tree(kind).items() if isinstance(one, dict) or one[0].name not in given}
    values = dict(given)
    _fill(values, tree, raw, others, checks)
    return kind(**values)


def _fill(
    values: dict[str, Any],
    tree: Mapping[str, Any],
    raw: object,
    others: Collection[str] = (),
    checks: Mapping[str, Any] = _NOTHING,
) -> None:
    """Add the fields of an object to those of its dataclass."""
    if not isinstance(raw, dict):
        raise ValueError(f"ce n'est pas un objet ; ses champs sont {', '.join(tree)}.")
    faults = [(str(name), _unknown(str(name), tree)) for name in raw if name not in tree and name not in others]
    for name, node in tree.items():
        if isinstance(node, dict):
            if raw.get(name) is not None:
                _try(faults, name, functools.partial(_fill, values, node, raw[name]))
            continue
        field, hint, needed = node
        if name in raw:
            whole = Annotated[hint, checks[name]] if name in checks else hint
            if found := _try(faults, name, functools.partial(_read, whole, raw[name], not field.repr)):
                values[field.name] = found[0]
        elif needed or field.default is field.default_factory is dataclasses.MISSING:
            faults.append((name, "champ obligatoire absent ; ajoutez-le."))
    if faults:
        raise _Faults(faults)


def _unknown(name: str, tree: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, tree, n=1)
    return f"champ inconnu ; vouliez-vous dire « {close[0]} » ?" if close else "champ inconnu ; retirez-le."


def _try[T](faults: list[tuple[str, str]], name: str, read: Callable[[], T]) -> tuple[T] | None:
    """What could be read; else its faults are with the others."""
    try:
        return (read(),)
    except ValueError as error:
        found = error.found if isinstance(error, _Faults) else [("", str(error))]
        faults += [(".".join(filter(None, (name, under))), text) for under, text in found]
        return None


def _each(kind: Any, parts: Mapping[str, Any], hidden: bool) -> dict[str, Any]:
    faults: list[tuple[str, str]] = []
    found = {name: _try(faults, name, functools.partial(_read, kind, raw, hidden)) for name, raw in parts.items()}
    if faults:
        raise _Faults(faults)
    return {name: one[0] for name, one in found.items() if one}


def _read(kind: Any, raw: Any, hidden: bool = False) -> Any:
    """A value, as its type is declared; it is in no message when it is hidden."""
    base, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if base is Annotated:
        way = next((mark for mark in inner[1:] if isinstance(mark, From)), From(inner[0], lambda value: value))
        value = way.make(_read(way.kind, raw, hidden))
        return functools.reduce(lambda found, check: check(found), filter(callable, inner[1:]), value)
    if base in (types.UnionType, typing.Union):
        return None if raw is None else _read(inner[0], raw, hidden)
    if dataclasses.is_dataclass(base):
        return _object(base, raw)
    if base in (dict, abc.Mapping):
        if not isinstance(raw, dict):
            raise ValueError("ce n'est pas un objet ; mettez-le entre accolades.")
        return _each(inner[1], {str(name): one for name, one in raw.items()}, hidden)
    if base in (tuple, list, frozenset):
        if not isinstance(raw, list):
            raise ValueError("ce n'est pas une liste ; mettez-la entre crochets.")
        return base(_each(inner[0], {str(rank): one for rank, one in enumerate(raw, 1)}, hidden).values())
    accepts, text = _PLAIN[base]
    if not accepts(raw):
        raise ValueError(f"{_shown(raw, hidden)} {text}")
    return raw if base is Any else base(raw)


def _shown(raw: object, hidden: bool = False) -> str:
    """A value for a message; what an object or a list holds may be anything."""
    kinds = {dict: "un objet", list: "une liste", type(None): "une valeur vide"}
    return "cette valeur" if hidden else kinds.get(type(raw), f"« {str(raw)[:60]} »")
