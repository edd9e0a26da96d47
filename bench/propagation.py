"""What a propagation costs: the suite of `controlplane bench propagation`, without the rest of the command.

python -m bench.propagation [--quick] [--json FILE]
"""

import argparse
import sys
from pathlib import Path

from controlplane.bench.propagation.command import run


def main() -> int:
    """Measure; 1 when a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, help="join the figures to that file's, by name")
    asked = parser.parse_args()
    return 1 if run(asked.json, quick=asked.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
