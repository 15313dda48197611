# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A SEDA message as it is written, element after element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lxml import etree


class Writer:
    """Adds elements of a namespace.

    Args:
        namespace: of the message.
        clean: what a text may hold in XML.
    """

    def __init__(self, namespace: str, clean: Callable[[str], str]) -> None:
        self.namespace, self._clean = namespace, clean

    def root(self, name: str) -> Any:
        """The message itself."""
        default: dict[Any, str] = {None: self.namespace}
        return etree.Element(f"{{{self.namespace}}}{name}", nsmap=default)

    def add(self, parent: Any, path: str, text: object = None, **attributes: str) -> Any:
        """Add elements one in the other (« FileInfo/Filename »); gives the last, which has the text and attributes."""
        for step in path.split("/"):
            parent = etree.SubElement(parent, f"{{{self.namespace}}}{step}")
        parent.text = None if text is None else self._clean(str(text))
        parent.attrib.update(attributes)
        return parent

    def item(self, parent: Any, mark: str, title: str, group: str) -> None:
        """Describe a file: the unit `mark`, of the data objects' group `group`."""
        unit = self.add(parent, "ArchiveUnit", id=mark)
        described = self.add(unit, "Content")
        self.add(described, "DescriptionLevel", "Item")
        self.add(described, "Title", title)
        self.add(unit, "DataObjectReference/DataObjectGroupReferenceId", group)
