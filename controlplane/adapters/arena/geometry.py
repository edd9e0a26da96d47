"""What an arena's file holds where, and how its first page says so.

0      magic, 16 bytes, written last: a file without it was never finished
16     length and CRC-32 of the description, two little-endian 32-bit words
24     the description: a JSON object {version, workers, boot, regions}
...    one record of SLOT_BYTES for each worker, at a multiple of 64
...    the regions in their order, each at a multiple of 64
"""

import struct
import zlib
from collections.abc import Mapping

import msgspec

from controlplane.model.errors import ArenaError

MAGIC = b"controlplane 01\n"
VERSION = 1
SLOT_BYTES = 64
_HEAD = struct.Struct("<16sII")
_DESCRIPTION_MAX = 4 << 20  # bytes: far more than 4,096 services need


class Geometry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names and sizes (int64 words) of regions in their order, for so many workers, since one boot of the machine."""

    version: int
    workers: int
    boot: str
    regions: dict[str, int]

    @classmethod
    def of(cls, regions: Mapping[str, int], workers: int, boot: str) -> "Geometry":
        """The geometry wanted here and now."""
        return cls(VERSION, workers, boot, dict(regions))

    @property
    def slots_at(self) -> int:
        """Byte at which the workers' records begin."""
        return line(_HEAD.size + len(self.encode()))

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return self._end(len(self.regions))

    def offset(self, name: str) -> int:
        """Byte at which the region of that name begins. Raises KeyError."""
        return self._end(list(self.regions).index(name)) if name in self.regions else self._missing(name)

    def _missing(self, name: str) -> int:
        raise KeyError(f"no region {name!r}; there are: {', '.join(self.regions)}")

    def _end(self, count: int) -> int:
        at = self.slots_at + self.workers * SLOT_BYTES
        for words in list(self.regions.values())[:count]:
            at += line(8 * words)
        return at

    def encode(self) -> bytes:
        """The description."""
        return msgspec.json.encode(self)

    def head(self) -> bytes:
        """The file's beginning, without the magic."""
        text = self.encode()
        return _HEAD.pack(bytes(16), len(text), zlib.crc32(text)) + text


def line(count: int) -> int:
    """`count` bytes, rounded up to whole cache lines."""
    return (count + 63) // 64 * 64


def is_unfinished(head: bytes) -> bool:
    """Whether a file that begins so was never laid out: it is empty, or whoever began it did not end it."""
    return not head.strip(b"\0") or head[:16] == bytes(16)


def decode(head: bytes, path: str) -> Geometry:
    """The geometry of a file that begins so. Raises ArenaError where it is no arena, or a damaged one."""
    if head[:16] != MAGIC:
        raise ArenaError(f"{path} is not an arena of this version; remove it, or name another path")
    if len(head) < _HEAD.size:
        raise ArenaError(f"{path} is damaged: it ends within its head; stop all that use it and remove it")
    _, length, crc = _HEAD.unpack_from(head)
    text = head[_HEAD.size : _HEAD.size + length]
    if length > _DESCRIPTION_MAX or len(text) != length or zlib.crc32(text) != crc:
        raise ArenaError(f"{path} is damaged: its checksum is wrong; stop all that use it and remove it")
    try:
        return msgspec.json.decode(text, type=Geometry)
    except msgspec.DecodeError as error:
        raise ArenaError(f"{path} is damaged: {error}; stop all that use it and remove it") from error


HEAD_MAX = _HEAD.size + _DESCRIPTION_MAX


def difference(found: Geometry, wanted: Geometry) -> str:
    """In which respect `found` is not `wanted`; empty: in none that matters."""
    if found.version != wanted.version:
        return f"version {found.version}, not {wanted.version}"
    if found.workers != wanted.workers:
        return f"places for {found.workers} workers, not {wanted.workers}"
    for name in [*found.regions, *wanted.regions]:
        have, want = found.regions.get(name), wanted.regions.get(name)
        if have != want:
            return f"{name!r} in {have or 'no'} words, not {want or 'none'}"
    return "" if list(found.regions) == list(wanted.regions) else "its regions in another order"
