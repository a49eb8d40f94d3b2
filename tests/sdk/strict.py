"""Whether JSON is exactly what an official SDK says it is: no key missing, none unknown, no wrong type.

The SDKs themselves read leniently and keep what they do not know, so an application would find out late.
Here their own declarations (typed dictionaries of requests, models of answers) are walked as they stand,
and a kind of thing that has no declaration is a problem. Start at `problems`.
"""

import base64
import binascii
import collections.abc
import enum
import functools
import types
import typing
from datetime import datetime

import pydantic
import typing_extensions

WRAPPERS = {
    typing_extensions.Required,
    typing_extensions.NotRequired,
    typing.Required,
    typing.NotRequired,
    getattr(typing_extensions, "ReadOnly", typing.Required),
}
UNIONS = {typing.Union, types.UnionType}
LISTS = {list, collections.abc.Iterable, collections.abc.Sequence, tuple}
DICTS = {dict, collections.abc.Mapping}
KIND_OF = {"type", "role", "object"}
"""Keys whose value says which of several things this is."""


def problems(value, hint, also: frozenset[str] = frozenset(), at: str = "") -> list[str]:
    """What is wrong with `value` as a `hint`, each with its place; empty when nothing is.

    `also` holds keys that are taken wherever they stand: what vendors and we add to the published shapes.
    """
    hint = bare(hint)
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if hint is typing.Any or hint is object or isinstance(hint, typing.TypeVar):
        return []
    if origin in UNIONS:
        return of_union(value, args, also, at)
    if origin in {typing.Literal, typing_extensions.Literal}:
        fine = any(type(value) is type(arg) and value == arg for arg in args)
        return [] if fine else [f"{at}: {value!r} is none of {args}"]
    if origin in LISTS or hint in LISTS:
        return of_list(value, args, also, at)
    if origin in DICTS or hint in DICTS:
        return of_dict(value, args, also, at)
    if typing_extensions.is_typeddict(hint) or is_model(hint):
        return of_object(value, hint, also, at)
    return of_scalar(value, hint, at)


def assert_strict(value, hint, also: frozenset[str] = frozenset()) -> None:
    found = problems(value, hint, also)
    assert not found, "\n".join(found)


def bare(hint):
    """Without what says nothing about the value."""
    while True:
        if isinstance(hint, typing_extensions.TypeAliasType):
            hint = hint.__value__
        elif typing.get_origin(hint) is typing.Annotated or typing.get_origin(hint) in WRAPPERS:
            hint = typing.get_args(hint)[0]
        else:
            return hint


def is_model(hint) -> bool:
    return isinstance(hint, type) and issubclass(hint, pydantic.BaseModel)


def of_union(value, args, also, at) -> list[str]:
    """None if one reads it; else the complaints of the one that was most likely meant."""
    found = []
    for arg in args:
        complaints = problems(value, arg, also, at)
        if not complaints:
            return []
        found.append((len(mismatched(value, arg)), len(complaints), complaints))
    return min(found, key=lambda one: one[:2])[2]


def mismatched(value, hint) -> list[str]:
    """The keys by which `value` says that it is something else."""
    hint = bare(hint)
    if typing.get_origin(hint) in UNIONS:
        return min((mismatched(value, arg) for arg in typing.get_args(hint)), key=len)
    if isinstance(value, list):
        return [] if typing.get_origin(hint) in LISTS else ["no list"]
    if not (typing_extensions.is_typeddict(hint) or is_model(hint)):
        return ["no object"]
    if not isinstance(value, dict):
        return ["an object"]
    members = declared(hint)
    return [
        key
        for key in KIND_OF & value.keys()
        if key not in members or problems(value[key], members[key].hint)
    ]


def of_list(value, args, also, at) -> list[str]:
    if not isinstance(value, list):
        return [f"{at}: {short(value)} is no list"]
    each = args[0] if args else typing.Any
    return [
        it for n, one in enumerate(value) for it in problems(one, each, also, f"{at}[{n}]")
    ]


def of_dict(value, args, also, at) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: {short(value)} is no object"]
    each = args[1] if len(args) == 2 else typing.Any
    return [it for key, one in value.items() for it in problems(one, each, also, f"{at}.{key}")]


def of_object(value, hint, also, at) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: {short(value)} is no {hint.__name__}"]
    members = declared(hint)
    missing = [key for key, member in members.items() if member.required and key not in value]
    found = [f"{at}: {hint.__name__} without `{key}`" for key in missing]
    for key, one in value.items():
        if key in members:
            found += problems(one, members[key].hint, also, f"{at}.{key}")
        elif key not in also:
            found.append(f"{at}: {hint.__name__} has no `{key}`")
    return found


class Member(typing.NamedTuple):
    hint: object
    required: bool


@functools.cache
def declared(hint) -> dict[str, Member]:
    if is_model(hint):
        return {
            field.alias or name: Member(field.annotation, field.is_required())
            for name, field in hint.model_fields.items()
        }
    hints = typing_extensions.get_type_hints(hint, include_extras=True)
    return {
        renamed(key, one): Member(one, is_required(hint, key, one)) for key, one in hints.items()
    }


def is_required(hint, key: str, one) -> bool:
    while typing.get_origin(one) is typing.Annotated:
        one = typing.get_args(one)[0]
    origin = typing.get_origin(one)
    if origin in {typing.Required, typing_extensions.Required}:
        return True
    if origin in {typing.NotRequired, typing_extensions.NotRequired}:
        return False
    return key in hint.__required_keys__


def renamed(key: str, hint) -> str:
    """The name on the wire: the SDKs note it where Python could not have it."""
    while typing.get_origin(hint) in WRAPPERS:
        hint = typing.get_args(hint)[0]
    for note in getattr(hint, "__metadata__", ()):
        if getattr(note, "alias", None):
            return note.alias
    return key


def of_scalar(value, hint, at) -> list[str]:
    wrong = [f"{at}: {short(value)} is no {getattr(hint, '__name__', hint)}"]
    if hint is None or hint is type(None):
        return [] if value is None else wrong
    if hint is float:
        return [] if type(value) in {int, float} else wrong
    if hint in {str, int, bool}:
        return [] if type(value) is hint else wrong
    if hint is bytes:
        return [] if is_base64(value) else wrong
    if hint is datetime:
        return [] if is_time(value) else wrong
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [] if value in {member.value for member in hint} else wrong
    raise TypeError(f"{at}: how is {hint!r} written in JSON?")


def is_base64(value) -> bool:
    """In either alphabet: Google's SDK answers in the one for addresses."""
    if not isinstance(value, str):
        return False
    plain = value.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain, validate=True) is not None
    except binascii.Error:
        return False


def is_time(value) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


def short(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
