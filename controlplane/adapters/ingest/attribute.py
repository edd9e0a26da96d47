"""Attributes of OTLP in JSON. 64-bit numbers are strings there, but not everybody writes them so.

Source  opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding"
"""

from typing import Final

import msgspec

NO_NUMBER: Final = -1


class Value(msgspec.Struct, rename="camel"):
    """An AnyValue, as far as it is a text, a number or a truth."""

    string_value: str = ""
    int_value: str | int = NO_NUMBER
    bool_value: bool | None = None


class Attribute(msgspec.Struct):
    """One name and its value."""

    key: str = ""
    value: Value | None = None


class Resource(msgspec.Struct):
    """Who sends."""

    attributes: list[Attribute] = []


def text_of(attribute: Attribute) -> str:
    """Its text; empty: it has none."""
    return attribute.value.string_value if attribute.value is not None else ""


def number_of(attribute: Attribute) -> int:
    """Its number, also where it is a decimal text; NO_NUMBER: it has none. Raises ValueError."""
    if attribute.value is None:
        return NO_NUMBER
    value = attribute.value.int_value
    text = attribute.value.string_value
    return int(text) if value == NO_NUMBER and text.isdecimal() and len(text) < 20 else int(value)


def service_of(resource: Resource | None) -> str:
    """The `service.name` of a resource; empty: it does not say."""
    attributes = resource.attributes if resource is not None else []
    return next((text_of(one) for one in attributes if one.key == "service.name"), "")
