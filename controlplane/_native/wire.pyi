"""Span batches in, edges of the call graph out; no span becomes an object."""

from struct import Struct
from typing import Final, Self, final

from typing_extensions import Buffer

SPANS_MAX: Final[int]
POINTS_MAX: Final[int]
TOLD: Final[Struct]

_Told = tuple[str, str, float, float, float, float, float, float]
"""caller ("" where nobody knows), callee, calls, failures, timed, client_ns, served, server_ns: sums of what each span
stands for, so that they need not be whole."""

_Point = tuple[int, str, str, bool, int, int, int, bool, int, int, float, float]
"""A point, field by field as in adapters/ingest/point.py."""

@final
class SpanPairs:
    """The spans of many services, paired into edges as they come, in memory that does not grow. Threads may share it;
    requests are read without the interpreter's lock.

    names_max    services known at a time; edges_max: told at a time; waiting_max: spans that wait for their other side.
                 Each a power of two.
    seed         of the keyed hash: where strangers send spans, a number that they cannot guess.
    Memory       144 bytes a name, 64 an edge, 68 a waiting span.
    Raises       ValueError or TypeError that names the argument; MemoryError.
    Source       docs/concepts/spans.md
    """

    def __new__(
        cls, *, names_max: int = 4096, edges_max: int = 16384, waiting_max: int = 65536, seed: int = 1
    ) -> Self: ...
    def traces(self, request: Buffer, now_ns: int, *, spans_max: int = ...) -> tuple[int, int]:
        """Take in an ExportTraceServiceRequest in protobuf, all of it or nothing; (how many spans it held, how many of
        those have no ids and were left out).

        Raises  ValueError: it is none; OverflowError: it holds more than `spans_max` spans.
        """
    def span(
        self,
        service: Buffer,
        trace: Buffer,
        own: Buffer,
        parent: Buffer,
        state: Buffer,
        peer: Buffer,
        kind: int,
        start_ns: int,
        end_ns: int,
        error: bool,
        http: int,
        grpc: int,
        now_ns: int,
    ) -> None:
        """Take in one span that somebody else has read. Empty: no parent, no tracestate, no peer; -1: no such status.

        Raises  ValueError, TypeError: an id has another length, a number is none of its kind.
        """
    def take(self, before_ns: int, /) -> list[_Told]:
        """Edges since the last time, in the order in which they were first seen; they begin again at zero. Spans that
        have waited since `before_ns` are told without their other side."""
    def cut(self, before_ns: int, /) -> tuple[bytes, list[str]]:
        """What `take` tells, as rows of `TOLD` and the names that their first two numbers are of: in a thread, without
        keeping the interpreter from others for long."""
    def busy(self) -> bool:
        """Whether a thread is in the tables, so that whoever came now would wait for it."""
    def statistics(self) -> dict[str, int]:
        """spans, rejected (of those: without ids), paired (calls of which both sides were seen), alone (told without
        the other side), evicted (of those: before their time, for want of room), unnamed (calls to nobody that was
        named), without_place (names or edges beyond what fits), names, edges."""

def weight_of(tracestate: Buffer, /) -> float:
    """How many calls a sampled span stands for; 1 where its tracestate does not say."""

def grpc_code(name: Buffer, /) -> int:
    """The number of a gRPC status that is told by its name; -1: it is none."""

def rank_of(key: Buffer, /) -> int:
    """How well an attribute of that name says who the other end is; 0: it does not."""

def read_metrics(request: Buffer, secret: int, points_max: int, /) -> list[_Point]:
    """The points of an ExportMetricsServiceRequest in protobuf that tell of calls, in their order; any others are
    passed over. `secret` keys the hash that tells series apart.

    Raises  ValueError: it is none; OverflowError: it holds more than `points_max` such points.
    """
