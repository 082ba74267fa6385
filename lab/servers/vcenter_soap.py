"""The SOAP 1.1 wire of the vim25 API: values to XML, a request to its parts, faults.

Source: vSphere Web Services API 8.0 (WSDL ``urn:vim25``, document/literal). Knows no object of the estate.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

ENVELOPE_START = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    "<soapenv:Body>"
)
ENVELOPE_END = "</soapenv:Body></soapenv:Envelope>"


@dataclass(frozen=True, slots=True)
class Ref:
    """A managed object reference."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Word:
    """A value of an enumeration or of a simple type by name (``VirtualMachinePowerState``, ``xsd:dateTime``)."""

    type: str
    text: str


@dataclass(frozen=True, slots=True)
class Struct:
    """A data object; a field that is None is left out."""

    type: str
    fields: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Many:
    """An array of ``type`` items."""

    type: str
    items: tuple[Value, ...]


Value = str | bool | int | Ref | Word | Struct | Many | None


class VimFault(Exception):
    """A fault to answer with: ``struct`` is its data object, whose type names it."""

    def __init__(self, name: str, message: str, fields: Mapping[str, Value] | None = None) -> None:
        super().__init__(message)
        self.struct = Struct(name, fields or {})


@dataclass(frozen=True, slots=True)
class Call:
    """A request: ``method`` of the object ``this`` with its arguments as XML without namespaces."""

    method: str
    this: Ref
    arguments: ET.Element = field(repr=False)

    def text(self, name: str, default: str = "") -> str:
        """Return an argument's text."""
        return self.arguments.findtext(name, default) or default

    def number(self, name: str) -> int | None:
        """Return an integer argument; None when it is absent. Raises VimFault InvalidArgument."""
        text = self.text(name)
        if not text:
            return None
        if not text.isdecimal():
            raise VimFault("InvalidArgument", f"{name} is not a number.", {"invalidProperty": name})
        return int(text)

    def flag(self, name: str) -> bool:
        """Return a boolean argument; absent is false."""
        return self.text(name) in {"true", "1"}

    def ref(self, name: str) -> Ref | None:
        """Return an argument that is a reference."""
        return ref_of(self.arguments.find(name))

    def element(self, name: str) -> ET.Element | None:
        """Return a structured argument."""
        return self.arguments.find(name)


def ref_of(element: ET.Element | None) -> Ref | None:
    """Read a reference."""
    return None if element is None else Ref(element.get("type", ""), element.text or "")


def read_call(body: bytes) -> Call:
    """Read a request. Raises ValueError for what is not a SOAP call of this API."""
    if b"<!DOCTYPE" in body:
        raise ValueError("a DOCTYPE has no place in SOAP")
    try:
        root = ET.fromstring(body)  # noqa: S314 - without a DOCTYPE there are no entities to expand
    except ET.ParseError as error:
        raise ValueError(f"not XML: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in tuple(element.attrib):
            element.attrib[name.rpartition("}")[2]] = element.attrib.pop(name)
    wrapper = root.find("Body")
    if wrapper is None or len(wrapper) != 1:
        raise ValueError("no SOAP body with one call")
    call = wrapper[0]
    this = ref_of(call.find("_this"))
    if this is None:
        raise ValueError("a call without _this")
    return Call(call.tag, this, call)


def answer(method: str, value: Value | list[Struct]) -> bytes:
    """Write a response; None is an answer without a value, a list repeats it."""
    values: list[Any] = value if isinstance(value, list) else [value]
    inside = "".join(encode("returnval", one) for one in values)
    return f'{ENVELOPE_START}<{method}Response xmlns="urn:vim25">{inside}</{method}Response>{ENVELOPE_END}'.encode()


def fault(problem: VimFault) -> bytes:
    """Write a fault."""
    name = problem.struct.type
    inside = "".join(encode(key, value) for key, value in problem.struct.fields.items())
    return (
        f"{ENVELOPE_START}<soapenv:Fault><faultcode>ServerFaultCode</faultcode>"
        f"<faultstring>{escape(str(problem))}</faultstring>"
        f'<detail><{name}Fault xmlns="urn:vim25" xsi:type="{name}">{inside}</{name}Fault></detail>'
        f"</soapenv:Fault>{ENVELOPE_END}"
    ).encode()


def localized(problem: VimFault) -> Struct:
    """Wrap a fault as data (``LocalizedMethodFault``), as in a task's error."""
    return Struct("LocalizedMethodFault", {"fault": problem.struct, "localizedMessage": str(problem)})


def stamp(at: float) -> Word:
    """Write a Unix time."""
    return Word("xsd:dateTime", dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds"))


def encode(tag: str, value: Value) -> str:  # noqa: PLR0911 - one return a kind of value
    """Write ``value`` as element ``tag``, with its type, so that it can stand where anything may stand."""
    match value:
        case None:
            return ""
        case bool():
            return f'<{tag} xsi:type="xsd:boolean">{str(value).lower()}</{tag}>'
        case int():
            return f'<{tag} xsi:type="xsd:int">{value}</{tag}>'
        case str():
            return f'<{tag} xsi:type="xsd:string">{escape(value)}</{tag}>'
        case Ref(kind, identifier):
            return f'<{tag} type={quoteattr(kind)} xsi:type="ManagedObjectReference">{escape(identifier)}</{tag}>'
        case Word(kind, text):
            return f"<{tag} xsi:type={quoteattr(kind)}>{escape(text)}</{tag}>"
        case Struct(kind, fields):
            inside = "".join(_field(name, one) for name, one in fields.items())
            return f"<{tag} xsi:type={quoteattr(kind)}>{inside}</{tag}>"
        case Many(kind, items):
            inside = "".join(encode(kind, one) for one in items)
            return f'<{tag} xsi:type="ArrayOf{kind[0].upper()}{kind[1:]}">{inside}</{tag}>'


def _field(name: str, value: Value) -> str:
    """Write a data object's field: an array there is the element repeated, but not where anything may stand."""
    if isinstance(value, Many) and name != "val":
        return "".join(encode(name, one) for one in value.items)
    return encode(name, value)
