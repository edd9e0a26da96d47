"""Ten million distinct keys against a bounded table: memory stays flat and a denied key stays denied.

    python -m bench.key_flood --keys 10000000 --slots 65536

Prints one JSON object: resident memory before and after, what the flood met, and how often the denied key got through.
"""

import argparse
import json
import time
from pathlib import Path

from controlplane._native.limiter import KeyedRateLimiter

HOUR_NS = 3_600_000_000_000
PAGE_BYTES = 4_096


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def main() -> None:
    """Deny one key, flood with others, ask for it again and again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--slots", type=int, default=65_536)
    asked = parser.parse_args()
    limiter = KeyedRateLimiter(HOUR_NS, 5, slots=asked.slots)
    while limiter.try_acquire("denied"):
        pass
    for key in range(asked.slots * 4):  # every page of the table has been touched
        limiter.try_acquire(key)
    before, start, through = resident_bytes(), time.perf_counter(), 0
    for turn in range(asked.keys // 1_000):
        for key in range(turn * 1_000, turn * 1_000 + 1_000):
            limiter.try_acquire(f"key-{key}")
        through += limiter.try_acquire("denied")
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "name": "limit.key_flood",
                "keys": asked.keys,
                "resident_before": before,
                "resident_after": resident_bytes(),
                "denied_key_admitted": through,
                "ns_per_key": round(seconds / asked.keys * 1e9, 1),
                **limiter.statistics(),
            }
        )
    )


if __name__ == "__main__":
    main()
