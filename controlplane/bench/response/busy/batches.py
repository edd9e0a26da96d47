"""Requests as Collectors send them, made once, in a file, and made new each time that they are sent.

Spans that came before are only repeats to whoever reads them. So each time another number is written over the first
bytes of every trace id: both sides of a call still meet, and no call is one that was told before.
"""

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from controlplane.bench.ingest.batch import mesh_batch

MARK: Final = b"\xfe\xed\xfa\xce"  # where the number goes; no attribute has such bytes, and ids hardly ever
CALLS: Final = 1_024  # of a request: 2,048 spans, as in the page about the Collector


def write(path: Path, edges: Sequence[tuple[str, str]], *, bodies: int) -> None:
    """Put `bodies` requests into `path`, each of another part of `edges`: a Collector sends what is near it."""
    parts = [edges[len(edges) * at // bodies : len(edges) * (at + 1) // bodies] for at in range(bodies)]
    made = [mesh_batch(CALLS, part, seed=seed, mark=MARK) for seed, part in enumerate(parts) if part]
    path.write_bytes(msgspec.msgpack.encode(made))


class Body:
    """One request, to be sent again and again."""

    def __init__(self, made: bytes) -> None:
        self.data = bytearray(made)
        marks = np.array([found.start() for found in re.finditer(re.escape(MARK), made)])
        if len(marks) != 2 * CALLS:
            raise ValueError(f"{len(marks)} marks in a request of {2 * CALLS} spans")
        self._bytes = np.frombuffer(self.data, dtype=np.uint8)
        self._places = marks[:, None] + np.arange(len(MARK))

    def renewed(self, number: int) -> bytearray:
        """The same calls once more, as new ones; `number` is another each time."""
        self._bytes[self._places] = np.frombuffer(struct.pack("<I", number & 0xFFFFFFFF), dtype=np.uint8)
        return self.data


def read(path: Path, share: int, shares: int) -> list[Body]:
    """What `write` has made, of which every one of `shares` senders takes its own."""
    made = msgspec.msgpack.decode(path.read_bytes(), type=list[bytes])
    return [Body(one) for one in made[share::shares] or made]
