"""What can be typed, with an example for each command."""

import argparse
import os
from collections.abc import Callable
from functools import partial

from controlplane.cli.parse_playbook import add_playbooks
from controlplane.cli.parse_standing import add_standing

Run = Callable[[argparse.Namespace], int]

EXAMPLES = """\
examples:
  controlplane demo                              break a real mesh six ways and watch it being contained
  controlplane bench guard                       what a guarded call costs on this machine, beside its rivals
  controlplane check controlplane.toml           say what is wrong with a configuration, all of it
  controlplane serve --config controlplane.toml  run the gateway and its admin API
  controlplane incidents                         what is going on, asked of a running process
  controlplane explain i1                        why it acted, or did not
  controlplane report i1 -o i1.md --plot         what happened, for the review afterwards
  controlplane analyze incident.json             where a recorded incident began, and what would contain it
  controlplane replay controlplane.db            every decision of a journal once more, compared byte for byte
  controlplane plan --what-if "orders fails in b"  what would be done, without doing it
  controlplane drill zone-b-out                  a playbook rehearsed against the topology as it is
  controlplane simulate --seed 7                 one failure in a simulated mesh, with its timeline
  controlplane freeze --reason "deploying"       stop automation; what is in force runs out
  controlplane resume

exit status: 0 all is well, 1 problems were found, 2 wrong usage, configuration or connection
"""

ASKING = """\
The running process is found by --admin, by --config, or by CONTROLPLANE_ADMIN_LISTEN (default 127.0.0.1:9911).
Its token is read from --token-file, from the file that --config names, or from CONTROLPLANE_ADMIN_TOKEN_FILE
(default controlplane.token).
"""


def build_parser(wanted: str = "") -> argparse.ArgumentParser:
    """The parser. Only the arguments of command `wanted` are loaded where a command brings its own."""
    parser = argparse.ArgumentParser(
        prog="controlplane",
        description="Incident-response control plane: contains a failure faster than it spreads.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_check(commands)
    _add_script(commands)
    add_playbooks(partial(_add, commands))
    _add_analyze(commands)
    _add_replay(commands)
    _add_demo(commands, wanted)
    _add_simulate(commands, wanted)
    _add_bench(commands, wanted)
    _add_notify(commands)
    _add_asking(commands)
    return parser


class _Version(argparse.Action):
    """--version, without asking for the version before it is wanted."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from controlplane import __version__

        print(f"controlplane {__version__}")
        parser.exit()


_Commands = argparse._SubParsersAction  # no public name for what add_subparsers gives back


def _add(
    commands: "_Commands[argparse.ArgumentParser]", name: str, run: Run, summary: str, epilog: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary[0].lower() + summary[1:],
        description=summary + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_serve(commands: "_Commands[argparse.ArgumentParser]") -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.cli.serve import serve

        return serve(args.config, loop=args.loop)

    epilog = """\
examples:
  controlplane serve --config controlplane.toml
  CONTROLPLANE_ADMIN_LISTEN=127.0.0.1:0 controlplane serve --config controlplane.toml    (any free port; it is printed)

SIGTERM or SIGINT stops it: requests in flight are finished, then the journal is closed. A second signal does not wait.
"""
    parser = _add(commands, "serve", run, "Run the gateway and the admin API of a configuration", epilog)
    parser.add_argument("--config", required=True, metavar="FILE", help="TOML file; see: controlplane check")
    parser.add_argument(
        "--loop",
        choices=("uvloop", "trio"),
        default="uvloop",
        help="event loop; trio needs controlplane[trio] (default: uvloop)",
    )


def _add_check(commands: "_Commands[argparse.ArgumentParser]") -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.cli.check import check

        return check(args.file, output=args.output)

    epilog = """\
examples:
  controlplane check controlplane.toml
  controlplane check controlplane.toml -o json | jq '.problems[].key'
"""
    parser = _add(commands, "check", run, "Read a configuration and say everything that is wrong with it", epilog)
    parser.add_argument("file", metavar="FILE")
    _add_output(parser)


def _add_script(commands: "_Commands[argparse.ArgumentParser]") -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.cli.script import script

        return script(args.proxy)

    epilog = """\
examples:
  controlplane script haproxy > /etc/haproxy/controlplane.lua    (docs/how-to/haproxy.md)
"""
    parser = _add(commands, "script", run, "Print what a proxy loads, so that orders end by themselves there", epilog)
    parser.add_argument("proxy", choices=("haproxy",), help="the proxy")


def _add_analyze(commands: "_Commands[argparse.ArgumentParser]") -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.cli.analyze import analyze

        output = "json" if args.json else args.output
        return analyze(args.file, output=output, plot=args.plot, incident=args.incident, exit_code=args.exit_code)

    epilog = """\
examples:
  controlplane analyze incident.json.gz
  controlplane analyze incident.json.gz --plot incident.svg
  controlplane analyze incident.json --json | jq '.origins[0]'
  controlplane analyze controlplane.journal --incident i1

FILE is a recording (format controlplane.recording/1, JSON, plain or gzip) or the journal of a process.
exit status: 0 it was analyzed (with --exit-code: 1 if an origin was found), 2 the file is broken
"""
    parser = _add(commands, "analyze", run, "Find where a recorded incident began and what it spreads to", epilog)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="the same as -o json")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the call graph with blame and spread")
    parser.add_argument("--incident", metavar="ID", help="only this one of a journal's incidents")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 if an origin was found")
    _add_output(parser)


def _add_replay(commands: "_Commands[argparse.ArgumentParser]") -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.cli.replay import run_replay

        return run_replay(args.journal, epoch=args.epoch, output="json" if args.json else args.output)

    epilog = """\
examples:
  controlplane replay controlplane.db
  controlplane replay copy-of-controlplane.db --epoch 3 --json | jq '.epochs[0].difference'

JOURNAL is the file of [journal] path, also of a process that runs: it is read and never written.
exit status: 0 all that was replayed came out as recorded, 1 something did not, 2 nothing could be replayed
"""
    parser = _add(commands, "replay", run, "Make every decision of a journal once more, and compare", epilog)
    parser.add_argument("journal", metavar="JOURNAL")
    parser.add_argument("--epoch", type=int, metavar="N", help="only this one: an epoch is a life of the process")
    parser.add_argument("--json", action="store_true", help="the same as -o json")
    _add_output(parser)


def _add_demo(commands: "_Commands[argparse.ArgumentParser]", wanted: str) -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.demo.command import run as run_demo

        return run_demo(args)

    epilog = """\
examples:
  controlplane demo
  controlplane demo --json result.json
  controlplane demo --data-plane haproxy      through a real HAProxy, or envoy
  controlplane demo --keep
"""
    parser = _add(
        commands, "demo", run, "Break a real mesh six ways, without and with the library, and compare", epilog
    )
    if wanted == "demo":
        from controlplane.demo.command import add_arguments

        add_arguments(parser)


def _add_simulate(commands: "_Commands[argparse.ArgumentParser]", wanted: str) -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.simulate.command import run as run_simulate

        return run_simulate(args)

    epilog = """\
examples:
  controlplane simulate --seed 7
  controlplane simulate --seed 7 --fault leaf_slow --policy ours
  controlplane simulate --seed 7 --policy ours --policy envoy_outlier --policy plain --plot seed7.svg
  controlplane simulate --seed 7 --json seed7.json && jq '.runs[].result.failed' seed7.json

The seed draws a mesh, its users and one failure; all policies live in the same world, the production code as it is
among them ("ours"). The same seed gives the same output, byte for byte, as long as the code is the same.
The timeline has, for each policy: when the fault begins and ends, when users begin to fail and are served again, what
each service's plane detected, ordered and was refused, and how it let traffic back.
Blast radius: services beside the fault's origin of whose calls less than 95 % went well for a second or more, and the
seconds of it, summed.
exit status: 0 it ran, 1 an invariant of safe automation broke, 2 wrong usage
"""
    parser = _add(commands, "simulate", run, "Replay one failure in a simulated mesh, from its seed", epilog)
    if wanted == "simulate":
        from controlplane.simulate.command import add_arguments

        add_arguments(parser)


def _add_bench(commands: "_Commands[argparse.ArgumentParser]", wanted: str) -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.bench.command import run as run_bench

        return run_bench(args)

    epilog = """\
examples:
  controlplane bench guard
  controlplane bench guard --only 'limit.*' --quick
  controlplane bench guard --json results.json --check
  controlplane bench propagation --quick
  controlplane bench detection --plot delays.svg
  controlplane bench response --plot response.svg
  controlplane bench dataplane --quick
  controlplane bench dataplane --faults --data-plane envoy
  controlplane bench peers

Rivals that are not installed are left out: pip install 'controlplane[bench]'.
"""
    parser = _add(commands, "bench", run, "Measure a guarded call beside its floor and its rivals", epilog)
    if wanted == "bench":
        from controlplane.bench.command import add_arguments

        add_arguments(parser)


def _add_notify(commands: "_Commands[argparse.ArgumentParser]") -> None:
    def run(args: argparse.Namespace) -> int:
        from controlplane.cli.people import notify_test

        return notify_test(args.config, args.name, output=args.output)

    epilog = """\
examples:
  controlplane notify test chat --config controlplane.toml

One notice is sent at once, whatever quiet hours and ladders say; nothing needs to run. What opens something there
closes it again. Exit status 1: it was not taken, and why is said.
"""
    parser = _add(commands, "notify", run, "Send a test notice by a notifier of a configuration", epilog)
    parser.add_argument("what", choices=("test",), help="what to do")
    parser.add_argument("name", metavar="NAME", help="of [notifiers.NAME]")
    parser.add_argument("--config", required=True, metavar="FILE", help="configuration that declares it")
    _add_output(parser)


def _add_asking(commands: "_Commands[argparse.ArgumentParser]") -> None:
    def asking(name: str) -> Run:
        def run(args: argparse.Namespace) -> int:
            from controlplane.cli import ask, change, drift, people, proxy, review, rule

            room = next((one for one in (rule, review, proxy, drift, people, change) if hasattr(one, name)), ask)
            answer: int = getattr(room, name)(args)
            return answer

        return run

    def add(name: str, summary: str, example: str, *, output: bool = True) -> argparse.ArgumentParser:
        epilog = f"examples:\n{example}\n{ASKING}"
        parser = _add(commands, name, asking(name), summary, epilog)
        parser.add_argument("--admin", metavar="URL", help="where its admin API listens, as in http://127.0.0.1:9911")
        parser.add_argument("--token-file", metavar="FILE", help="file that holds the bearer token")
        parser.add_argument("--config", metavar="FILE", help="configuration of the process: gives both of the above")
        if output:
            _add_output(parser)
        return parser

    add(
        "status",
        "Show the state of a running process; exit status 1 while an incident is open",
        "  controlplane status\n",
    )
    parser = add("incidents", "List incidents, newest first", "  controlplane incidents --state open -o json\n")
    parser.add_argument("--state", choices=("open", "closed", "all"), default="all")
    parser.add_argument("--limit", type=int, default=100)
    parser = add(
        "explain",
        "Explain one incident: what was seen, done, refused, and why",
        "  controlplane explain i1\n  controlplane explain i1 --journal controlplane.journal    (no process needed)\n",
    )
    _add_reviewed(parser)
    parser = add(
        "report",
        "Write the post-incident report of one incident, in Markdown",
        "  controlplane report i1 -o i1.md --plot\n  controlplane report i1 --journal controlplane.journal\n",
        output=False,
    )
    _add_reviewed(parser)
    parser.add_argument("-o", dest="output_file", metavar="FILE.md", help="write it there (default: print it)")
    parser.add_argument("--plot", action="store_true", help="draw the timeline as FILE.svg beside FILE.md")
    add("graph", "Show who calls whom, how often and how well", "  controlplane graph\n  controlplane graph -o json\n")
    add("services", "Show each service as users see it, and as it is inside", "  controlplane services\n")
    add("proxies", "Show what is wanted of each proxy, and what it has acknowledged", "  controlplane proxies\n")
    from controlplane.cli.parse_change import add_changes, add_drift

    add_changes(add)
    add_drift(add)
    for name, summary in (
        ("freeze", "Stop automation; what is in force runs out by its lease"),
        ("resume", "Let automation act again"),
        ("observe", "Interfere with nothing, reflexes included; take back what is in force"),
        ("enforce", "Act on what is seen, from now on"),
    ):
        parser = add(name, summary, f'  controlplane {name} --reason "load test on shard 3"\n')
        parser.add_argument("--reason", default="", help="goes on record")
        parser.add_argument(
            "--by", default=os.environ.get("USER", "") or "operator", help="who orders it (default: you)"
        )

    add("rules", "List the safety rules, what each allows now and how often it refused", "  controlplane rules\n")
    add(
        "posture",
        "Tell who guards whom, and what is closed while one fails",
        "  controlplane posture\n",
    )
    add("shadow", "Tell what acts in shadow would have done", "  controlplane shadow\n  controlplane shadow -o json\n")
    add_standing(add)
    parser = add(
        "acknowledge",
        "Take an incident: its ladder is climbed no further",
        "  controlplane acknowledge i1 --by alice\n",
    )
    parser.add_argument("id", metavar="INCIDENT", help="as listed by: controlplane incidents")
    parser.add_argument("--reason", default="", help="goes on record, and to everybody who was told")
    parser.add_argument("--by", default=os.environ.get("USER", "") or "operator", help="who takes it (default: you)")


def _add_reviewed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="INCIDENT", help="as listed by: controlplane incidents")
    parser.add_argument("--journal", metavar="FILE", help="read it from the journal of a process, which need not run")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
