"""Four processes hammer one shared limit of 1,000 a second: how many calls were admitted, and how many there should be.

    python -m bench.shared_limit --seconds 10 [--kill]

`--kill` ends two of the four with SIGKILL halfway. Prints one JSON object; `excess` above 0 would be a broken promise.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from tests.integration.limiting import BURST
from tests.integration.test_shared_limit import SECOND, excess, hammering, rows


def main() -> None:
    """Run once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--kill", action="store_true")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        hammering(Path(folder), seconds=asked.seconds) as (processes, notes),
    ):
        if asked.kill:
            time.sleep(asked.seconds / 2)
            for process in processes[:2]:
                process.kill()
        for process in processes:
            process.wait()
        admitted = rows(notes)[0]
    taken_s = (max(after for _, after in admitted) - min(before for before, _ in admitted)) / SECOND
    print(
        json.dumps(
            {
                "name": "arena.limit.four_processes" + (".two_killed" if asked.kill else ""),
                "seconds": round(taken_s, 4),
                "admitted": len(admitted),
                "expected": round(taken_s * 1_000),
                "burst": BURST,
                "excess": max(0, excess(admitted, BURST)),
            }
        )
    )


if __name__ == "__main__":
    main()
