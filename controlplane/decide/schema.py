"""The shape of what stands in a journal, as a short name: equal where two versions of the program read it alike."""

import hashlib
from functools import cache
from typing import Any

import msgspec

from controlplane.model.input import Input
from controlplane.model.record import Record


@cache
def schema_id() -> str:
    """Twelve hexadecimal digits over every field of records, signals and policies; not over what is said of them."""
    _, components = msgspec.json.schema_components([Record, Input])
    return hashlib.sha256(msgspec.json.encode(_bare(components), order="deterministic")).hexdigest()[:12]


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(each) for key, each in value.items() if key not in ("description", "title")}
    return [_bare(each) for each in value] if isinstance(value, list | tuple) else value
