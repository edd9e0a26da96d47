"""What can be typed about playbooks: plan, drill, playbooks."""

import argparse
from collections.abc import Callable

Run = Callable[[argparse.Namespace], int]
Add = Callable[[str, Run, str, str], argparse.ArgumentParser]

LIVE = """
With --live the running process is asked; it is found by --admin, by --config, or by CONTROLPLANE_ADMIN_LISTEN, and its
token by --token-file, by --config, or by CONTROLPLANE_ADMIN_TOKEN_FILE.
"""


def add_playbooks(add: Add) -> None:
    """Declare the three commands."""
    epilog = f"""\
examples:
  controlplane plan --what-if "orders fails in eu-1b"
  controlplane plan --what-if "orders is slow version v2" --config shop.toml -o json
  controlplane plan --what-if "orders orders-1 is overloaded" --live

grammar: SERVICE [ENDPOINT] fails | is slow | is overloaded [in ZONE] [version VERSION]

Nothing is done. Without --live the traffic is made up: 100 users' requests a second, each of which makes every call.
exit status: 0 at most 5 % of the calls to it would fail in the end, 1 more of them, 2 wrong usage
{LIVE}"""
    parser = add("plan", _run("plan"), "Show what would be done if something failed, without doing it", epilog)
    parser.add_argument("--what-if", required=True, metavar="TEXT", help="what goes wrong, in the grammar below")
    _add_where(parser)
    epilog = f"""\
examples:
  controlplane drill zone-b-out
  controlplane drill zone-b-out --quiet && git push
  controlplane drill zone-b-out --live

The playbook is rehearsed against the topology of the configuration in virtual time: with it in force, without it, and
with nobody acting. With --live the running engine is asked what it would do now; nothing is ordered.
The result is kept in the file of [drills] path, which `controlplane playbooks` reads.
exit status: 0 it passed, 1 it did not, 2 wrong usage
{LIVE}"""
    parser = add("drill", _run("drill"), "Rehearse a playbook against the present topology", epilog)
    parser.add_argument("name", metavar="NAME", help="as listed by: controlplane playbooks")
    parser.add_argument("--quiet", action="store_true", help="without the timeline")
    _add_where(parser)
    epilog = f"""\
examples:
  controlplane playbooks
  controlplane playbooks --live -o json | jq '.playbooks[] | select(.unreliable != [])'

Without --live nobody knows whether preconditions hold now; whether they can hold is said by: controlplane check
exit status: 0 each was rehearsed against this topology, passed, and can be relied on; 1 not all of them
{LIVE}"""
    parser = add("playbooks", _run("playbooks"), "List playbooks: when each was rehearsed, how it ended", epilog)
    _add_where(parser)


def _run(name: str) -> Run:
    def run(args: argparse.Namespace) -> int:
        from controlplane.cli import playbook

        answer: int = getattr(playbook, name)(args)
        return answer

    return run


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: controlplane.toml)")
    parser.add_argument("--live", action="store_true", help="ask the running process, as it stands now")
    parser.add_argument("--admin", metavar="URL", help="where its admin API listens, as in http://127.0.0.1:9911")
    parser.add_argument("--token-file", metavar="FILE", help="file that holds the bearer token")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
