# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""YAML files written by people: read strictly, checked against a JSON Schema, explained in French.

A schema carries its own advice: `x-correction` on a field says how to write it, `x-message` what is wrong
with it, `x-masque` that its value is never shown.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

if TYPE_CHECKING:
    import jsonschema

FieldPath = tuple[str | int, ...]

_TYPES = {
    "string": "un texte",
    "integer": "un nombre entier",
    "array": "une liste",
    "object": "un groupe de champs",
    "boolean": "true ou false",
}
_SYNTAX_FIX = (
    "vérifiez le retrait (des espaces, jamais de tabulation), l'espace après chaque deux-points, "
    "les guillemets et les crochets"
)
# What is left open is found at the end of the file: show where it begins.
_UNCLOSED = ("while parsing a flow sequence", "while parsing a flow mapping", "while scanning a quoted scalar")
# Ansible's own tags, and those of YAML 1.1 that its loader knows.
_TAGS = ("!vault", "!vault-encrypted", "!unsafe")
_STANDARD_TAGS = (
    *("null", "bool", "int", "float", "str", "binary", "timestamp"),
    *("seq", "map", "set", "omap", "pairs", "merge", "value"),
)
# Characters that nobody sees: controls, those that turn the direction of reading, other breaks of lines, private ones.
_HIDDEN = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")
_BREAKS = {"\n", "\r", "\t"}
# What begins a template for Ansible; its header may choose other marks.
_JINJA_PATTERN = re.compile(r"\{[{%#]|#\s*jinja2\s*:", re.IGNORECASE)
_SEALED = "$ANSIBLE_VAULT;"  # a whole file, which ansible-vault alone opens
_MAX_NODES = 100_000  # of such a file, references followed


@dataclass(frozen=True)
class Problem:
    """One thing to correct, in French."""

    file: str
    """File, as the reader knows it."""
    line: int | None
    """Line of the file, from 1; None when no line is meant."""
    field: str
    """Field, as in `postes[0].adresse`; empty when the whole file is meant."""
    message: str
    fix: str

    def __post_init__(self) -> None:
        """Show what nobody sees: a refused text is told on terminals, pages and in mails too."""
        for name in ("file", "field", "message", "fix"):
            text = str(getattr(self, name))
            if unseen := hidden(text):
                object.__setattr__(self, name, "".join("�" if one in unseen else one for one in text))

    def __str__(self) -> str:
        line = f"ligne {self.line}" if self.line else ""
        where = ", ".join(part for part in (self.file, line, self.field) if part)
        return f"{where} : {self.message}. À faire : {self.fix}."


class ProblemsError(CreaticError, cause="defauts"):
    """What was read is refused; `problems` is all there is to correct.

    A subclass may say of what in `heading` (French, where ``{count}`` is how many).
    """

    heading = ""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        if not self.heading:
            super().__init__("\n".join(map(str, problems)))
            return
        count = f"{len(problems)} erreurs" if len(problems) > 1 else "1 erreur"
        super().__init__("\n".join([self.heading.format(count=count), *(f"  - {problem}" for problem in problems)]))


@dataclass
class Source:
    """A YAML file under check, and the problems found in it."""

    label: str
    """Name of the file in the problems."""
    raw: bytes
    problems: list[Problem] = field(default_factory=list)
    _root: yaml.Node | None = None

    def report(self, message: str, fix: str, path: FieldPath = (), line: int | None = None) -> None:
        """Record a problem, once."""
        if path:
            line = self._find_field(path)[0]
        problem = Problem(self.label, line, dotted(path), message, fix)
        if problem not in self.problems:
            self.problems.append(problem)

    def quoted_value(self, path: FieldPath) -> str:
        """Give a value as it is written, with its quotes."""
        node = self._find_field(path)[1]
        if not isinstance(node, yaml.ScalarNode):
            return "« … »"
        mark = node.style if node.style in ("'", '"') else ""
        return quote(f"{mark}{node.value}{mark}")

    def read(self) -> dict[str, Any] | None:
        """Parse the file; None (and a problem) when it does not hold fields."""
        text = self._decode_text()
        if text is None:
            return None
        try:
            if self._has_devices(text):
                return None
            data, duplicates = _parse_document(text)
        except yaml.YAMLError as error:
            self._report_syntax(text, error)
            return None
        self._report_duplicates(duplicates)
        if hidden(text) - _BREAKS or hidden("".join(_walk_texts(data))):
            self._report_hidden(text, set())
        if data is None:
            self.report("le fichier est vide", "remplissez-le, ou supprimez-le")
        elif not isinstance(data, dict):
            self.report("le fichier ne contient pas de champs", "écrivez un champ par ligne, « champ: valeur »")
        return data if isinstance(data, dict) else None

    def compose(self) -> yaml.MappingNode | None:
        """Parse a file of Ansible's, whose tags and references are its own affair; None when it holds no fields.

        An empty file is no problem: Ansible takes it.
        """
        text = self._decode_text()
        if text is None or text.startswith(_SEALED):
            return None
        try:
            node = yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            self._report_syntax(text, error)
            return None
        if is_nothing(node):
            return None
        if not isinstance(node, yaml.MappingNode):
            self.report("le fichier ne contient pas de champs", "écrivez un champ par ligne, « champ: valeur »")
            return None
        if self._is_beyond_ansible(node):
            return None
        if _expanded_size(node) > _MAX_NODES:
            self.report("les renvois YAML (&, *) s'y multiplient sans fin", "écrivez les valeurs elles-mêmes")
            return None
        self._root = node
        if hidden(text) - _BREAKS or "\\" in text:
            self._report_hidden(text, {"\n", "\t"})
        self._report_duplicates(_duplicate_keys(node))
        return node

    def _is_beyond_ansible(self, root: yaml.Node) -> bool:
        """Refuse what stops Ansible with words of its own."""
        for node in _unique_nodes(root):
            if node.tag not in _TAGS and node.tag.rpartition(":")[2] not in _STANDARD_TAGS:
                tag = node.tag.replace("tag:yaml.org,2002:", "!!")
                self.report(f"la balise {quote(tag)} n'est pas admise", "retirez-la", line=node.start_mark.line + 1)
                return True
            for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
                if key.tag.endswith(":merge") and not _is_mergeable(value):
                    message = "« << » ajoute les champs d'un autre groupe de champs, et il n'y en a pas"
                    self.report(message, "retirez cette ligne, ou écrivez-y ces champs", line=key.start_mark.line + 1)
                    return True
                if not isinstance(key, yaml.ScalarNode):
                    message = "un nom de champ est une liste ou un groupe de champs"
                    self.report(message, "écrivez un nom simple, puis deux-points", line=key.start_mark.line + 1)
                    return True
        return False

    def load(self, path: Path, most: int = 1024, what: str = "un fichier de l'inventaire") -> None:
        """Take the file's content; what is no ordinary file, or cannot be read, is a problem.

        Args:
            path: of the file.
            most: its largest size, KiB.
            what: what it is, in French.
        """
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                self.report("ce n'est pas un fichier ordinaire", "remplacez-le par un fichier texte")
            elif status.st_size > most * 1024:
                self.report(f"le fichier dépasse {most} Kio", f"vérifiez que c'est bien {what}")
            else:
                self.raw = path.read_bytes()
        except OSError:
            self.report("le fichier est illisible", "vérifiez qu'il existe et que vous avez le droit de le lire")

    def _decode_text(self) -> str | None:
        try:
            return self.raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.raw.count(b"\n", 0, error.start) + 1
            self.report("le fichier n'est pas en UTF-8", "enregistrez-le avec l'encodage UTF-8", line=line)
            return None

    def _report_duplicates(self, duplicates: Iterable[yaml.ScalarNode]) -> None:
        for key in duplicates:
            message = f"le champ {quote(key.value)} est écrit deux fois au même niveau"
            self.report(message, "gardez la bonne ligne et supprimez l'autre", line=key.start_mark.line + 1)

    def _report_hidden(self, text: str, admitted: Collection[str]) -> None:
        """Refuse what people do not see, however it is written (as it is, or ``"\\u202e"``), in names as in values.

        It turns what a reader, a page, a mail or a terminal shows into something else. The last break of a block is
        no more than the way it is written.

        Args:
            admitted: controls that values may hold.
        """
        fix, left = "effacez-le, ou récrivez ce texte au clavier", hidden(text) - _BREAKS
        for path, node in _walk_scalars(self._compose_node()):
            value = node.value.rstrip("\n") if node.style in ("|", ">") else node.value
            if found := hidden(value) - {*admitted}:
                left -= found
                self.report(_told_hidden(found), fix, path, node.start_mark.line + 1)
        for one in sorted(left):  # in comments
            self.report(_told_hidden({one}), fix, line=text.count("\n", 0, text.index(one)) + 1)

    def refuse_templates(self, root: yaml.Node) -> None:
        """Refuse texts that Ansible would evaluate (it believes what its own YAML plugin reads), in names as in values.

        Args:
            root: what `compose` gave.
        """
        for path, node in _walk_scalars(root):
            if looks_evaluated(node.value) and not node.tag.startswith("!"):
                message = f"{quote(node.value)} est une expression, qu'Ansible calculerait"
                fix = "écrivez la valeur elle-même ; une expression va dans group_vars/, au nom du groupe"
                self.report(message, fix, path, node.start_mark.line + 1)

    def check_schema(self, data: dict[str, Any], schema_file: Path) -> None:
        """Report all that the schema refuses, but of fields of which something is told already."""
        validator = _load_validator(schema_file)
        told = {problem.field for problem in self.problems if problem.field}
        for error in validator.iter_errors(data):
            if dotted(tuple(error.absolute_path)) not in told:
                self._explain_schema_error(error, validator.schema)

    def _has_devices(self, text: str) -> bool:
        """Refuse anchors, aliases and tags: no one needs them here, and a small file can explode by them."""
        if any(mark in text for mark in "&*!"):
            for token in yaml.scan(text, Loader=yaml.CSafeLoader):
                if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken):
                    self.report(
                        "les renvois et balises YAML (&, *, !) ne sont pas admis",
                        "écrivez la valeur elle-même, entre guillemets si c'est un texte",
                        line=token.start_mark.line + 1,
                    )
                    return True
        return False

    def _report_syntax(self, text: str, error: yaml.YAMLError) -> None:
        mark = getattr(error, "problem_mark", None)
        if getattr(error, "context", None) in _UNCLOSED:
            mark = getattr(error, "context_mark", None)
        if mark is None:
            line = text.count("\n", 0, getattr(error, "position", 0)) + 1
            self.report("caractère de contrôle interdit", "effacez ce caractère invisible", line=line)
            return
        lines = text.split("\n")
        number = min(mark.line, len(lines) - 1)
        while number and not lines[number].strip():
            number -= 1
        near = lines[number]
        told = str(getattr(error, "problem", ""))
        if "alias" in told or "anchor" in told:
            message = f"un renvoi YAML (&, *) ne mène à rien, ou à deux endroits, près de {quote(near.strip())}"
            fix = "écrivez la valeur elle-même, entre guillemets si c'est un texte qui commence par * ou &"
        elif isinstance(error, yaml.composer.ComposerError):
            message = "le fichier contient plusieurs documents YAML"
            fix = "gardez une seule ligne « --- », la première"
        else:
            message = f"erreur de syntaxe YAML, près de {quote(near.strip())}"
            fix = "remplacez la tabulation par des espaces" if "\t" in near else _SYNTAX_FIX
        self.report(message, fix, line=number + 1)

    def _explain_schema_error(self, error: Any, schema: Any) -> None:
        """Put an error of jsonschema (a ValidationError) into words."""
        path: FieldPath = tuple(error.absolute_path)
        if error.validator == "not":
            self.report(error.schema["x-message"], error.schema["x-correction"], path)
        elif error.validator == "additionalProperties":
            known = error.schema["properties"]
            for name in error.instance:
                if name not in known:
                    self.report("champ inconnu", _rename_hint(name, known, error.instance), (*path, str(name)))
        elif error.validator == "required":
            self._explain_absent(error, schema, path)
        else:
            self._explain_value(error, _field_schema(schema, path), path)

    def _explain_absent(self, error: Any, schema: Any, path: FieldPath) -> None:
        value = error.instance
        typed_wrong = {_nearest_field(name, error.schema.get("properties", ()), value) for name in value}
        for name in error.validator_value:
            if name not in value and name not in typed_wrong:
                absent = _field_schema(schema, (*path, name))
                fix = absent["x-correction"] + _list_choices(absent.get("enum"))
                self.report("champ obligatoire absent", fix, (*path, name))

    def _explain_value(self, error: Any, about: Any, path: FieldPath) -> None:
        kind, value, expected = error.validator, error.instance, error.validator_value
        fix = about.get("x-correction", "")
        if value is None:
            self.report("champ vide", fix, path)
        elif kind == "enum":
            nearest = closest(str(value), expected)
            fix = (f"remplacez par « {nearest} »" if nearest else fix) + _list_choices(expected)
            self.report(f"la valeur {self.quoted_value(path)} est inconnue", fix, path)
        elif kind == "uniqueItems":
            self.report("la liste contient deux fois la même chose", fix, path)
        elif kind in ("minItems", "minProperties"):
            self.report("la liste est vide", fix, path)
        elif about.get("x-masque"):
            self.report("la valeur (masquée) n'est pas admise", fix, path)
        elif kind == "type":
            self.report(f"la valeur {self.quoted_value(path)} n'est pas {_TYPES[expected]}", fix, path)
        elif "propertyNames" in error.absolute_schema_path:
            fix = about["propertyNames"]["x-correction"]
            self.report(f"le nom {quote(str(value))} n'est pas admis", fix, (*path, str(value)))
        else:
            self.report(f"la valeur {self.quoted_value(path)} n'est pas admise", fix, path)

    def _compose_node(self) -> yaml.Node | None:
        if self._root is None:
            self._root = yaml.compose(self.raw.decode("utf-8-sig"), Loader=yaml.CSafeLoader)
        return self._root

    def _find_field(self, path: FieldPath) -> tuple[int | None, yaml.Node | None]:
        """Give the line of a field and its value; when it is absent, the line of what should hold it."""
        node: yaml.Node | None = self._compose_node()
        line = None
        for part in path:
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        line, node = key.start_mark.line + 1, value
                        break
                else:
                    return line, None
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                node = node.value[part]
                line = node.start_mark.line + 1
        return line, node


def _is_mergeable(node: yaml.Node) -> bool:
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return all(isinstance(one, yaml.MappingNode) for one in parts)


def quote(text: str) -> str:
    """Put a value between French quotation marks: short, on one line, nothing invisible."""
    visible = "".join(char if char.isprintable() else "�" for char in text)
    return f"« {visible[:60]}… »" if len(visible) > 60 else f"« {visible} »"


def _told_hidden(found: Collection[str]) -> str:
    listed = ", ".join(f"U+{ord(one):04X}" for one in sorted(found))
    return f"caractère invisible ou de contrôle interdit ({listed})"


def looks_evaluated(text: str) -> bool:
    """Whether Ansible would evaluate a text that it believes."""
    return bool(_JINJA_PATTERN.search(text))


def hidden(text: str) -> set[str]:
    """Give the characters of a text that nobody sees, and that change what is seen of the others."""
    return {one for one in {*text} if unicodedata.category(one) in _HIDDEN}


def dotted(path: FieldPath) -> str:
    """Write a place in a file as people read it: `postes[0].adresse`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


_MIN_SIMILARITY = 0.61  # above difflib's 0.6, at which « maire » is « siret »; « date » is still « date_acte »


def closest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that a mistyped one looks like, if any does."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=_MIN_SIMILARITY)), None)


def read_schema(schema_file: Path) -> dict[str, Any]:
    """Read a schema, each reference replaced by what it names: faster to check, simpler to walk."""
    whole = json.loads(schema_file.read_text(encoding="utf-8"))

    def resolve_pointer(pointer: str) -> Any:
        """What a JSON Pointer (RFC 6901) of this file names; no name here holds a / or a ~."""
        found = whole
        for part in pointer.removeprefix("#/").split("/"):
            found = found[part]
        return found

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(each) for each in node]
        if not isinstance(node, dict):
            return node
        target = node.get("$ref")
        if target is None:
            return {key: resolve(value) for key, value in node.items()}
        return resolve({**resolve_pointer(target), **{key: value for key, value in node.items() if key != "$ref"}})

    resolved: dict[str, Any] = resolve({key: value for key, value in whole.items() if key != "$defs"})
    return resolved


def fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Walk a schema: name of each field (`postes[].adresse`), what the schema says of it, is it required."""
    for name, about in schema["properties"].items():
        yield prefix + name, about, name in schema["required"]
        inner = about.get("items", about)
        if "properties" in inner:
            yield from fields(inner, f"{prefix}{name}{'[]' if 'items' in about else ''}.")


class _Loader(yaml.CSafeLoader):
    """Safe loader without surprises.

    It notes duplicate keys, of which PyYAML keeps the last without a word; and what is not a plain whole
    number, true, false or nothing is text: 01234 is no octal, 12:30 no sexagesimal, No and On no booleans.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.duplicates: list[yaml.ScalarNode] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = set()
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    self.duplicates.append(key)
                names.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("(~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("(0|-?[1-9][0-9]{0,17})$"), [*"-0123456789"])


def is_nothing(node: yaml.Node | None) -> bool:
    """Tell whether a value was left out (``nom:``)."""
    return node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null")


def _unique_nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Give the values of a file, a shared one once."""
    left, seen = [root], set()
    while left:
        node = left.pop()
        if id(node) not in seen:
            seen.add(id(node))
            left += _child_nodes(node)
            yield node


def _child_nodes(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _key, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _walk_texts(value: Any) -> Iterator[str]:
    """Give the texts of what was read, names of fields included."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _walk_texts(one)


def _walk_scalars(root: yaml.Node | None) -> Iterator[tuple[FieldPath, yaml.ScalarNode]]:
    """Give the texts of a file with their places, names of fields included; a shared one once."""
    left: list[tuple[FieldPath, yaml.Node]] = [((), root)] if root else []
    seen = set()
    while left:
        path, node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield path, node
        elif isinstance(node, yaml.SequenceNode):
            left += [((*path, place), one) for place, one in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = str(key.value) if isinstance(key, yaml.ScalarNode) else "…"
                left += [((*path, name), key), ((*path, name), value)]


def _expanded_size(root: yaml.Node) -> int:
    """Count what a file holds once its references are followed; one to its own holder counts for nothing."""
    sizes: dict[int, int] = {}
    left = [(root, False)]
    while left:
        node, known = left.pop()
        if known:
            sizes[id(node)] = 1 + sum(sizes[id(each)] for each in _child_nodes(node))
        elif id(node) not in sizes:
            sizes[id(node)] = 0
            left.append((node, True))
            left += [(each, False) for each in _child_nodes(node)]
    return sizes[id(root)]


def _duplicate_keys(root: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Give the keys that stand twice in one mapping, wherever it is; a reference may lead back to its holder."""
    left, seen = [root], set()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        if isinstance(node, yaml.MappingNode):
            names = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in names and key.value != "<<":
                        yield key
                    names.add(key.value)
                left.append(value)


def _parse_document(text: str) -> tuple[Any, Sequence[yaml.ScalarNode]]:
    loader = _Loader(text)
    try:
        return loader.get_single_data(), loader.duplicates
    finally:
        loader.dispose()


@functools.cache
def _load_validator(schema_file: Path) -> jsonschema.Validator:
    import jsonschema  # 0.1 s: only when a file is not in the cache
    from jsonschema.validators import extend

    base = jsonschema.Draft202012Validator

    def pattern(_validator: Any, regex: str, value: Any, _schema: Any) -> Iterator[Any]:
        # the whole text: for `re`, `$` also matches before a last newline
        if isinstance(value, str) and not re.fullmatch(regex, value):
            yield jsonschema.ValidationError("pattern")

    # 80.0 is not an integer for who writes a file, although the JSON Schema says so
    strict = base.TYPE_CHECKER.redefine("integer", lambda _checker, value: type(value) is int)
    schema = read_schema(schema_file)
    base.check_schema(schema)
    return extend(base, {"pattern": pattern}, type_checker=strict)(schema)


def _field_schema(schema: dict[str, Any], path: FieldPath) -> dict[str, Any]:
    """Give what the schema says of a field."""
    about = schema
    for part in path:
        if isinstance(part, int):
            about = about["items"]
        else:
            about = about.get("properties", {}).get(part) or about["additionalProperties"]
    return about


def _list_choices(values: Sequence[str] | None) -> str:
    return f" (valeurs possibles : {', '.join(values)})" if values else ""


def _nearest_field(name: Any, known: Iterable[str], present: Iterable[Any]) -> str | None:
    """Give the known field that an unknown one looks like, among those still to write."""
    if name in known:
        return None
    free = [other for other in known if other not in present]
    return closest(str(name), free)


def _rename_hint(name: Any, known: Iterable[str], present: Iterable[Any]) -> str:
    nearest = _nearest_field(name, known, present)
    if nearest:
        return f"remplacez par « {nearest} »"
    return f"supprimez-le (champs possibles : {', '.join(known)})"
