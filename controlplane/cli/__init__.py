"""The command line. Law of this room: a command imports only what it needs, so that every one starts at once.

Exit status: 0 all is well; 1 the command ran and found problems; 2 wrong usage, configuration or connection.
"""

import sys
from collections.abc import Sequence

from controlplane.cli.parser import build_parser
from controlplane.model.errors import ConfigError, ControlPlaneError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(wanted=arguments[0] if arguments else "")
    args = parser.parse_args(arguments)
    try:
        return int(args.run(args))
    except ConfigError as error:
        for problem in error.problems:
            print(f"controlplane: {problem}", file=sys.stderr)
    except ControlPlaneError as error:
        print(f"controlplane: {error}", file=sys.stderr)
    except BrokenPipeError:
        # the reader of our output has gone (`controlplane incidents | head`): nothing is left to say, nor to flush
        sys.stdout = None
        return 0
    return 2
