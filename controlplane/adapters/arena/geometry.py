"""What an arena's file holds where, and how its first page says so.

0      magic, 16 bytes: BEGUN before anything else is there, MAGIC when everything is
16     length and CRC-32 of the description, two little-endian 32-bit words
24     the description: a JSON object {version, workers, boot, regions}
...    one record of SLOT_BYTES for each worker, at a multiple of 64
...    the regions in their order, each at a multiple of 64
"""

import struct
import zlib
from collections.abc import Mapping
from itertools import accumulate

import msgspec

from controlplane.model.errors import ArenaError

MAGIC = b"controlplane 01\n"
BEGUN = b"controlplane 00\n"
VERSION = 1
SLOT_BYTES = 64
WORKERS_MAX = 64  # as in `_native/state.h`
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
        """The geometry wanted here and now. Raises ValueError when no file can have it."""
        wanted = cls(VERSION, workers, boot, dict(regions))
        if wrong := wanted.fault():
            raise ValueError(wrong)
        return wanted

    def fault(self) -> str:
        """Why no file can have this geometry; empty: one can."""
        if not 1 <= self.workers <= WORKERS_MAX:
            return f"workers must be between 1 and {WORKERS_MAX}, not {self.workers}"
        for name, words in self.regions.items():
            if words < 1:
                return f"region {name!r} must have at least 1 word, not {words}"
        return "" if len(self.encode()) <= _DESCRIPTION_MAX else f"more than {_DESCRIPTION_MAX} bytes of names"

    @property
    def slots_at(self) -> int:
        """Byte at which the workers' records begin."""
        return line(_HEAD.size + len(self.encode()))

    @property
    def regions_at(self) -> int:
        """Byte at which the first region begins."""
        return self.slots_at + self.workers * SLOT_BYTES

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return self.regions_at + sum(line(8 * words) for words in self.regions.values())

    def offsets(self) -> dict[str, int]:
        """Byte at which each region begins, by name."""
        ends = accumulate((line(8 * words) for words in self.regions.values()), initial=self.regions_at)
        return dict(zip(self.regions, ends, strict=False))  # the last end is the file's

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
        found = msgspec.json.decode(text, type=Geometry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArenaError(f"{path} is damaged: {error}; stop all that use it and remove it") from error
    if wrong := found.fault() or ("" if found.encode() == text else "its description is not in our own words"):
        raise ArenaError(f"{path} is damaged: {wrong}; stop all that use it and remove it")
    return found


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
