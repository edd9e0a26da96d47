"""How long a bell takes to wake a loop of another process, on each loop, beside its floor: a blocking read of a pipe.

    python bench/doorbell.py [rings]

The bell is that of `adapters.arena`: a named pipe, one byte a ring. What is timed is from just before `Arena.ring`
until the line after `wait_rung` in the other process (CLOCK_MONOTONIC is one for all processes of a machine). The
floor is a process that sleeps in `read` on that pipe and runs no loop at all: what waking any process costs.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from hdrh.histogram import HdrHistogram

from controlplane.adapters.arena import Arena

RINGS = 2_000
PAUSE_S = 0.001  # between rings: the other process must be asleep again, as it is when something trips
WORDS = 8
LOOPS = {"floor": [], "asyncio": ["asyncio"], "uvloop": ["asyncio", "uvloop"], "trio": ["trio"]}
HIGHEST_NS = 10_000_000_000


def listen(path: str, loop: list[str]) -> None:
    """The other process: note the time in shared memory whenever it is rung, and say so."""
    arena = Arena.attach(path, {"woken": WORDS})
    out = sys.stdout.buffer

    def woken() -> None:
        at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        arena.hush()
        out.write(struct.pack("q", at))
        out.flush()

    async def main() -> None:
        out.write(bytes(8))
        out.flush()
        while True:
            await arena.wait_rung()
            woken()

    if loop:
        anyio.run(main, backend=loop[0], backend_options={"use_uvloop": True} if loop[1:] else {})
    os.set_blocking(arena.fileno(), True)
    out.write(bytes(8))
    out.flush()
    while True:
        os.read(arena.fileno(), 65_536)
        at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        out.write(struct.pack("q", at))
        out.flush()


def measure(path: str, name: str, rings: int) -> HdrHistogram:
    """Nanoseconds from ring to woken, of so many rings."""
    latencies = HdrHistogram(1, HIGHEST_NS, 3)
    arena = Arena.attach(path, {"woken": WORDS})
    listener = subprocess.Popen(
        [sys.executable, __file__, "--listen", path, *LOOPS[name]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert listener.stdout is not None
        listener.stdout.read(8)
        for _ in range(rings):
            time.sleep(PAUSE_S)
            rung = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            arena.ring()
            (woken,) = struct.unpack("q", listener.stdout.read(8))
            latencies.record_value(woken - rung)
    finally:
        listener.kill()
        listener.wait()
        arena.close()
    return latencies


def main() -> None:
    """A table, and the same as JSON: a flat list of {name, value, unit, floor_ratio}."""
    rings = int(sys.argv[1]) if sys.argv[1:] else RINGS
    rows = []
    floor = {50: 0.0, 99: 0.0}
    with tempfile.TemporaryDirectory() as folder:
        for name in LOOPS:
            latencies = measure(str(Path(folder) / name), name, rings)
            for percent in floor:
                value = latencies.get_value_at_percentile(percent) / 1000
                floor[percent] = value if name == "floor" else floor[percent]
                rows.append(
                    {
                        "name": f"doorbell.{name}.p{percent}",
                        "value": value,
                        "unit": "us",
                        "floor_ratio": value / floor[percent],
                    }
                )
    for row in rows:
        print(f"{row['name']:<24}{row['value']:>10.1f} us{row['floor_ratio']:>8.2f} x floor")
    print(json.dumps(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--listen"]:
        listen(sys.argv[2], sys.argv[3:])
    else:
        main()
