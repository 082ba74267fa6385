"""What pydantic found wrong with a file, in plain words and with its place. Also used for playbooks.

A value that may be a secret is never repeated.
"""

from __future__ import annotations

import difflib
import re
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from monitor.inventory.ansible import BELOW, VARIABLE
from monitor.inventory.backups import RESTIC
from monitor.inventory.checks_hosts import PATH, UNIT
from monitor.inventory.checks_http import FIELD
from monitor.inventory.checks_services import NAME
from monitor.inventory.values import HOST, IPV4, KEY, OID, PAGE, REFERENCE, SUBJECT, VRRP_INSTANCE
from monitor.problem import Problem, did_you_mean
from monitor.yamlfile import describe, resolve, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from monitor.yamlfile import Document, Path

_SECRETIVE = frozenset(
    {"credential", "tsig_credential", "community", "password", "secret", "token"}
    | {"authentication_credential", "privacy_credential", "cipher_password"}
)
_FEW = 8

_EXPECTED: Mapping[str, str] = {
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
    "model_attributes_type": "expected keys and values",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
}
_LIMITS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}
_CHOICES = frozenset({"literal_error", "enum", "union_tag_not_found", "union_tag_invalid"})
_FORMS: Mapping[str, str] = {
    KEY: "a key has lower-case letters, digits and dashes and starts with a letter, at most 63 characters",
    HOST: "expected a host name or an address",
    REFERENCE: "expected the file name of a credential, never the secret itself",
    OID: "expected an OID such as 1.3.6.1.2.1.33.1.2.4.0",
    IPV4: "expected an IPv4 address",
    VRRP_INSTANCE: "expected the interface's index and the VRID, such as 2.10",
    NAME: "expected a DNS name",
    PAGE: "expected a path that starts with '/'",
    SUBJECT: "expected a subject such as system/ncts or link/tabanovce/backup",
    PATH: "expected an absolute path without spaces",
    FIELD: "expected keys with dots between, such as 'status.database'",
    RESTIC: "expected a restic repository, without spaces, such as /srv/restic or rclone:second",
    BELOW: "expected a path below the project's folder, such as 'site.yml' or 'plays/site.yml'",
    VARIABLE: "a variable's name has lower-case letters, digits and '_', at most 63 characters",
    UNIT: "expected the name of a systemd unit such as 'nginx.service'",
}


def explain(error: ValidationError, model: type[BaseModel], document: Document) -> list[Problem]:
    """Return every mistake of ``error``, which validating the document's data as ``model`` raised."""
    every = error.errors(include_url=False)
    spoilt = {detail["loc"][:length] for detail in every for length in range(len(detail["loc"]))}
    # A list whose entries are wrong counts as too short as well: one mistake, not two.
    details = [detail for detail in every if not (detail["type"] == "too_short" and detail["loc"] in spoilt)]
    misspelt: set[tuple[int | str, ...]] = set()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            place, name = detail["loc"][:-1], str(detail["loc"][-1])[:100]
            unused = _unused(_kind_at(model, place), document, path_of(place, document.data))
            misspelt |= {(*place, close) for close in difflib.get_close_matches(name, sorted(unused), n=1)}
    # A missing key that stands there misspelt is one mistake, not two.
    return [
        _problem(detail, model, document)
        for detail in details
        if not (detail["type"] == "missing" and detail["loc"] in misspelt)
    ]


def path_of(loc: tuple[int | str, ...], data: Any) -> Path:
    """Return the path in ``data`` of pydantic's ``loc``, which also names union members and keys themselves."""
    path: list[int | str] = []
    for part in loc:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data))
        if inside:
            path.append(part)
            data = data[part]
    return tuple(path)


def _problem(detail: ErrorDetails, model: type[BaseModel], document: Document) -> Problem:
    loc, kind = detail["loc"], detail["type"]
    path = path_of(loc, document.data)
    if kind == "missing":
        return _missing(str(loc[-1]), _kind_at(model, loc[:-1]), path, document)
    if kind == "extra_forbidden":
        unused = _unused(_kind_at(model, loc[:-1]), document, path[:-1])
        return document.problem(path, "unknown key", did_you_mean(str(loc[-1])[:100], unused), "key")
    if loc and loc[-1] == "[key]":
        return document.problem(path, _wrong_key(detail), at="key")
    if kind in _CHOICES:
        return _choice(detail, path, document)
    message, hint = _wrong_value(detail, path)
    return document.problem(path, message, hint)


def _missing(name: str, kind: Any, path: Path, document: Document) -> Problem:
    field = kind.model_fields.get(name) if _is_model(kind) else None
    words = f" ({field.description})" if field is not None and field.description else ""
    where = " at the top level" if not path else ""
    return document.problem(path, f"'{name}' is missing", f"add '{name}: …'{where}{words}", "key")


def _choice(detail: ErrorDetails, path: Path, document: Document) -> Problem:
    ctx, found = detail["ctx"], detail["input"]
    if detail["type"].startswith("union_tag"):  # the member of a union is chosen by one of its keys
        name = str(ctx["discriminator"]).strip("'")
        if detail["type"] == "union_tag_not_found":
            return document.problem(path, f"'{name}' is missing", f"add '{name}: …'", "key")
        path, found = (*path, name), ctx["tag"]
    message, hint = _options(str(ctx.get("expected", ctx.get("expected_tags"))), found)
    return document.problem(path, message, hint)


def _options(expected: str, found: object) -> tuple[str, str]:
    options = re.findall(r"'([^']*)'", expected)
    hint = did_you_mean(found[:100], options) if isinstance(found, str) else ""
    if len(options) > _FEW:
        return f"unknown value {describe(found)}", hint
    return f"expected {_or(options)}, found {describe(found)}", hint if hint.startswith("did") else ""


def worded(detail: ErrorDetails) -> tuple[str, str]:
    """Return the message and the hint for a wrong value that stands in no document of its own (a step's argument)."""
    if detail["type"] in {"literal_error", "enum"}:
        return _options(str(detail["ctx"]["expected"]), detail["input"])
    return _wrong_value(detail, tuple(detail["loc"]))


def _wrong_value(detail: ErrorDetails, path: Path) -> tuple[str, str]:
    kind, found, ctx = detail["type"], detail["input"], detail.get("ctx", {})
    shown, hint = describe(found), ""
    if (path and path[-1] in _SECRETIVE) or str(ctx.get("pattern")) == REFERENCE:
        message = _FORMS[REFERENCE]
    elif kind in _EXPECTED:
        message, hint = f"{_EXPECTED[kind]}, found {shown}", _conversion(kind, found)
    elif kind in _LIMITS:
        words, limit = _LIMITS[kind]
        message = f"{words} {ctx[limit]:g}, found {shown}"
    elif kind == "string_pattern_mismatch":
        message = f"{_FORMS.get(str(ctx['pattern']), 'this does not have the expected form')}, found {shown}"
    elif kind in {"value_error", "assertion_error"}:
        message = str(ctx["error"])
    elif kind in {"too_short", "string_too_short"}:
        message = "must not be empty" if ctx["min_length"] == 1 else f"needs at least {ctx['min_length']}"
    elif kind in {"too_long", "string_too_long"}:
        what = "characters" if kind.startswith("string") else "entries"
        message = f"must not be longer than {ctx['max_length']} {what}"
    else:
        message = f"{detail['msg']}, found {shown}"
    return message, hint


def _wrong_key(detail: ErrorDetails) -> str:
    ctx = detail.get("ctx", {})
    return str(ctx["error"]) if "error" in ctx else _FORMS.get(str(ctx.get("pattern")), _FORMS[KEY])


def _conversion(kind: str, found: object) -> str:
    if found is None:
        return "remove the key, or write something under it" if kind == "dict_type" else "write a value after the ':'"
    if kind == "string_type" and isinstance(found, (bool, int, float)):
        return "put it in quotes"
    if kind.startswith(("int", "float")) and isinstance(found, str) and isinstance(resolve(found), (int, float)):
        return "remove the quotes"
    if kind.startswith("float") and isinstance(found, str) and re.fullmatch(r"-?[0-9]+,[0-9]+", found):
        return f"write {shorten(found.replace(',', '.'))}"
    if kind in {"tuple_type", "list_type"} and isinstance(found, (str, int, float)):
        return f"write [{describe(found).strip(chr(39))}]"
    return ""


def _or(options: Iterable[str]) -> str:
    *first, last = (f"'{option}'" for option in options)
    return f"{', '.join(first)} or {last}" if first else last


def _unused(kind: Any, document: Document, path: Path) -> set[str]:
    return _names(kind) - set(_value_at(document.data, path))


def _value_at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _kind_at(kind: Any, loc: tuple[int | str, ...]) -> Any:
    for part in loc:
        kind = _step(_bare(kind), part)
    return _bare(kind)


def _step(kind: Any, part: int | str) -> Any:
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return None if field is None else field.annotation
    origin, args = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return next((member for member in args if part in _tags(_bare(member))), None)
    if origin is dict:
        return args[1]
    return args[0] if origin in {tuple, list} and args else None


def _bare(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        members = [member for member in get_args(kind) if member is not type(None)]
        return _bare(members[0]) if len(members) == 1 else kind
    return kind


def _tags(kind: Any) -> set[Any]:
    if not _is_model(kind):
        return set()
    annotations = (field.annotation for field in kind.model_fields.values())
    return {tag for annotation in annotations if get_origin(annotation) is Literal for tag in get_args(annotation)}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _names(kind: Any) -> set[str]:
    return {field.alias or name for name, field in kind.model_fields.items()} if _is_model(kind) else set()
