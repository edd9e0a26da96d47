"""What every signal and every record has, and what most of them are about; their unions are in `signal` and `record`.

A module of its own, so that a matter apart (deploys, drift) can keep its signals and records together in one file.
"""

import msgspec

from controlplane.model.unit import Nanos


class Target(msgspec.Struct, frozen=True, order=True):
    """What is meant: a service as a whole, or one endpoint of it."""

    service: str
    endpoint: str = ""

    def __str__(self) -> str:
        return f"{self.service}/{self.endpoint}" if self.endpoint else self.service


class SignalBase(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """A fact, known since `at`."""

    at: Nanos


class RecordBase(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened at `at`, and is on record."""

    at: Nanos
