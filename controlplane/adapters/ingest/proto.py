"""The two answers of OTLP that are not empty, in protobuf: written by hand, as they have two fields each."""

TEXT_BYTES_MAX = 500


def partial_success(refused: int, why: str) -> bytes:
    """An Export...ServiceResponse of which `refused` were not taken; empty where all were."""
    if not refused:
        return b""
    return _bytes(1, b"\x08" + _varint(refused) + _bytes(2, _short(why)))


def status(why: str) -> bytes:
    """A google.rpc.Status that says `why`."""
    return _bytes(2, _short(why))


def _short(text: str) -> bytes:
    return text.encode()[:TEXT_BYTES_MAX].decode("utf-8", "ignore").encode()


def _bytes(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
