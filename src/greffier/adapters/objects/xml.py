"""Reads the few XML answers of S3: elements and their text, no document types, no entities of their own."""

from xml.parsers import expat

import msgspec


class BadXml(ValueError):  # noqa: N818 - named for what was found
    """Not well-formed, or more than an S3 answer needs."""


class Element(msgspec.Struct):
    """An element: its name without a namespace, its text, its children."""

    name: str
    text: str = ""
    children: list["Element"] = []

    def find(self, name: str) -> str:
        """Text of the first child of that name, empty when there is none."""
        return next((child.text for child in self.children if child.name == name), "")


def parse_xml(data: bytes) -> Element:
    """Read a document.

    Raises:
        BadXml: It is malformed or declares a document type.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    root = Element("")
    stack = [root]

    def begin(name: str, _attributes: dict[str, str]) -> None:
        element = Element(name.rpartition(" ")[2])
        stack[-1].children.append(element)
        stack.append(element)

    def end(_name: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse(*_anything: object) -> None:
        raise BadXml("the answer declares a document type")

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat's own signature
    except expat.ExpatError as error:
        raise BadXml(f"the answer is not XML ({error})") from error
    return root.children[0]
