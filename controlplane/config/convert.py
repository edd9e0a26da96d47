"""Strict conversion that collects: every problem of a file at once, where msgspec stops at the first."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from controlplane.model.config import Config
from controlplane.model.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

PREFIX = "CONTROLPLANE_"
SECTIONS = ("plane", "journal", "admin", "gateway", "response", "graph")

# Kubernetes puts CONTROLPLANE_ADMIN_SERVICE_HOST, ..._PORT_9911_TCP_ADDR and their like into every pod beside a service
# named "controlplane-admin". They are not ours: refusing them would stop a gateway for the name of a service.
_NOT_OURS = re.compile(r"SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP|SCTP)\w*)?")


class Problems:
    """What is wrong with one file, in the order it was found."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[ConfigError] = []

    def add(self, key: str, reason: str) -> None:
        """Note one problem; reading goes on, so that a person sees all of them at once."""
        self._found.append(ConfigError(reason, key=key, source=self._source))

    def add_first(self, key: str, reason: str) -> None:
        """`add`, unless something is known to be wrong with `key`: what follows from it need not be said."""
        if all(problem.key != key for problem in self._found):
            self.add(key, reason)

    def add_at(self, key: str, reason: str, *, source: str, line: int | None) -> None:
        """Note one problem of another file, or one whose line is known."""
        self._found.append(ConfigError(reason, key=key, source=source, line=line or 0))

    @property
    def found(self) -> tuple[ConfigError, ...]:
        """All that were noted."""
        return tuple(self._found)

    def raise_if_any(self) -> None:
        """Raise one ConfigError that carries all."""
        if self._found:
            raise ConfigError.of(self._found, source=self._source)

    def __len__(self) -> int:
        return len(self._found)


def convert_struct(raw: object, kind: type[T], problems: Problems, key: str = "") -> T:
    """`raw` as a `kind`. Fields that were refused keep their default, so that the checks after it can still run."""
    if not isinstance(raw, dict):
        problems.add(key, f"{shown(raw)} is not a table")
        raw = {}
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in [name for name in raw if name not in fields]:
        allowed = sorted(fields.keys() - {"mode"} if key == "response" else fields)
        problems.add(
            _under(key, name), f"is not a known key{did_you_mean(name, allowed)}; allowed: {', '.join(allowed)}"
        )
    values: dict[str, Any] = {}
    for name, field in fields.items():
        here = _under(key, name)
        if name in raw:
            before = len(problems)
            value = _convert_field(raw[name], field.type, problems, here)
            if value is not None or len(problems) == before:
                values[field.name] = value
                continue
        elif field.required:
            problems.add(here, f"is missing; expected {expected(field.type)}")
        if field.required:
            values[field.name] = ""  # never seen outside: the problem just noted refuses the whole
    return kind(**values)


def _convert_field(raw: object, kind: Any, problems: Problems, key: str) -> Any:
    """`raw` as `kind`, or None after a problem was noted."""
    parts = [part for part in get_args(kind) if part is not type(None)] if get_origin(kind) is not tuple else []
    if _is_struct(kind):
        return convert_struct(raw, kind, problems, key)
    if type(None) in get_args(kind) and len(parts) == 1 and _is_struct(parts[0]):
        return convert_struct(raw, parts[0], problems, key)
    if get_origin(kind) is dict and _is_struct(get_args(kind)[1]):
        if not isinstance(raw, dict):
            return problems.add(key, f"{shown(raw)} is not a table of tables")
        return {name: convert_struct(one, get_args(kind)[1], problems, _under(key, name)) for name, one in raw.items()}
    if get_origin(kind) is tuple and _is_struct(get_args(kind)[0]):
        if not isinstance(raw, list):
            return problems.add(key, f"{shown(raw)} is not a list of tables: write [[{re.sub('[.].*[.]', '.', key)}]]")
        named = [_named(key, index, one) for index, one in enumerate(raw)]
        return tuple(convert_struct(one, get_args(kind)[0], problems, at) for at, one in zip(named, raw, strict=True))
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        inner = re.search(r" - at `\$((?:\[\d+\])?)", str(error))
        return problems.add(key + (inner[1] if inner else ""), f"{shown(raw)} is not {expected(kind)}")


def _named(key: str, index: int, raw: object) -> str:
    """`services.orders` where the entry has a name, since people search for names; `services[2]` where it has not."""
    name = raw.get("name") if isinstance(raw, dict) else None
    return f"{key}.{name}" if isinstance(name, str) and name else f"{key}[{index}]"


def _under(key: str, name: str) -> str:
    return f"{key}.{name}" if key else str(name)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def shown(value: object) -> str:
    """`value` as a person wrote it, shortened."""
    text = repr(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """A hint for a misspelt name, or nothing."""
    from difflib import get_close_matches  # only a wrong file pays for it

    close = get_close_matches(str(name), list(allowed), n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def expected(kind: Any) -> str:
    """What a value of `kind` looks like, in words."""
    from msgspec import inspect  # only a wrong file pays for it

    return _describe(inspect.type_info(kind))


def _describe(info: Any) -> str:
    from msgspec import inspect

    match info:
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(repr(value) for value in values)
        case inspect.IntType() | inspect.FloatType():
            noun = "a whole number" if isinstance(info, inspect.IntType) else "a number"
            low = f" over {info.gt:g}" if info.gt is not None else f" from {info.ge:g}" if info.ge is not None else ""
            return noun + low + (f" up to {_plain(info.le)}" if info.le is not None else "")
        case inspect.StrType(min_length=1):
            return "a non-empty text"
        case inspect.StrType():
            return "a text"
        case inspect.BoolType():
            return "true or false"
        case inspect.VarTupleType(item_type=item):
            return f"a list, each {_describe(item)}"
        case inspect.UnionType(types=types):
            return " or ".join(_describe(one) for one in types if not isinstance(one, inspect.NoneType))
        case inspect.EnumType(cls=cls):
            return "one of " + ", ".join(repr(str(one.value)) for one in cls)
        case inspect.DictType():
            return "a table of texts"
        case inspect.StructType():
            return "a table"
        case _:
            return type(info).__name__.removesuffix("Type").lower()


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def place_overrides(raw: dict[str, Any], environ: Mapping[str, str], problems: Problems) -> None:
    """Put the values of CONTROLPLANE_<SECTION>_<KEY> into `raw`; an unknown key of a known section is a problem."""
    sections = {field.name: field for field in msgspec.structs.fields(Config)}
    for variable, text in sorted(environ.items()):
        section, _, key = variable.removeprefix(PREFIX).partition("_")
        if not variable.startswith(PREFIX) or section.lower() not in SECTIONS or _NOT_OURS.fullmatch(key):
            continue
        kind = sections[section.lower()].type
        kind = kind if _is_struct(kind) else next(part for part in get_args(kind) if _is_struct(part))
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        field = fields.get(key.lower())
        if field is None or get_origin(field.type) is dict:
            settable = [name.upper() for name, one in fields.items() if get_origin(one.type) is not dict]
            hint = did_you_mean(key, settable)
            problems.add(
                variable, f"names no setting{hint}; of [{section.lower()}] these can be set: {', '.join(settable)}"
            )
            continue
        table = raw.setdefault(section.lower(), {})
        if not isinstance(table, dict):
            continue  # said where the file is converted
        value: object = text.split(",") if get_origin(field.type) is tuple else text
        try:
            table[field.name] = msgspec.to_builtins(msgspec.convert(value, field.type, strict=False))
        except msgspec.ValidationError:
            problems.add(variable, f"{shown(text)} is not {expected(field.type)}")
