"""Commands about playbooks, one function each, named like the command."""

import argparse
import sys
from typing import Any

import msgspec

from controlplane.cli.ask import show, table_of
from controlplane.cli.client import AdminClient, printable
from controlplane.config import load_linted
from controlplane.model.config import Config
from controlplane.model.drill import Drill
from controlplane.model.errors import ConfigError

CONFIG = "controlplane.toml"
TOLD_SHOWN = 12
FAILING_MAX = 0.05  # of the calls: what more than that fails is not contained


def plan(args: argparse.Namespace) -> int:
    """What would be done about `--what-if`."""
    if args.live:
        answer = AdminClient.of(args).post("/v1/plan", {"what_if": args.what_if})
    else:
        from controlplane.decide.whatif.foresee import foresee
        from controlplane.decide.whatif.grammar import suppose

        config = _config(args)
        topology = config.topology()
        try:
            supposed = suppose(args.what_if, topology)
        except ValueError as error:
            raise ConfigError(str(error), key="--what-if") from error
        guards = {service.name: config.policy(service) for service in config.services}
        told = foresee(
            supposed,
            topology,
            config.response_policy(),
            graph=config.graph,
            playbooks=config.playbooks,
            guards=guards,
        )
        answer = msgspec.to_builtins(told)
    show(args, answer, lambda: _plan(answer))
    return 0 if (answer["still_failing"] or 0.0) <= FAILING_MAX else 1


def drill(args: argparse.Namespace) -> int:
    """Rehearse a playbook, and keep the result."""
    from controlplane.adapters.drills import DrillLog

    config = _config(args)
    if all(one.name != args.name for one in config.playbooks):
        known = ", ".join(one.name for one in config.playbooks) or "none"
        raise ConfigError(f"no playbook {args.name!r}; there are: {known}", source=args.config or CONFIG)
    if args.live:
        answer = AdminClient.of(args).post("/v1/drill", {"playbook": args.name})
        found = msgspec.convert(answer, Drill)
    else:
        found = _rehearsed(config, args.name)
        answer = msgspec.to_builtins(found)
    DrillLog(config.drills.path).append(found)
    show(args, answer, lambda: _drill(found, quiet=args.quiet))
    return 1 if found.failed else 0


def playbooks(args: argparse.Namespace) -> int:
    """How each playbook stands."""
    if args.live:
        answer = AdminClient.of(args).get("/v1/playbooks")
    else:
        from controlplane.adapters.drills import DrillLog
        from controlplane.decide.playbook.fingerprint import topology_print
        from controlplane.decide.playbook.shelf import standings

        config = _config(args)
        topology = config.topology()
        found = standings(config.playbooks, topology, DrillLog(config.drills.path).latest(), None)
        answer = {"topology": topology_print(topology), "playbooks": msgspec.to_builtins(list(found))}
    show(args, answer, lambda: _playbooks(answer))
    return 0 if all(one["rehearsed"] == "passed" and not one["unreliable"] for one in answer["playbooks"]) else 1


def _config(args: argparse.Namespace) -> Config:
    """The configuration; what does not fit in it is said, and no reason to stop."""
    config, findings = load_linted(args.config or CONFIG)
    for finding in findings:
        print(f"controlplane: {finding}", file=sys.stderr)
    return config


def _rehearsed(config: Config, name: str) -> Drill:
    import time

    from controlplane import __version__
    from controlplane.decide.playbook.fingerprint import playbook_print, topology_print
    from controlplane.decide.review.wall import utc
    from controlplane.simulate.drill.run import rehearse

    playbook = next(one for one in config.playbooks if one.name == name)
    begun = Drill(
        playbook=name,
        how="simulation",
        at=utc(time.time_ns()),
        topology=topology_print(config.topology()),
        content=playbook_print(playbook),
        program=__version__,
    )
    try:
        found = rehearse(playbook, config)
    except ValueError as error:
        return msgspec.structs.replace(begun, failed=(str(error),))
    return msgspec.structs.replace(
        begun,
        failed=found.failed,
        contained_s=found.contained_s,
        with_it=found.with_it,
        without=found.without,
        unattended=found.unattended,
        timeline=found.timeline,
    )


def _plan(answer: dict[str, Any]) -> None:
    lines = [f"if {answer['supposed']} ({answer['figures']} traffic, mode {answer['mode']}), nothing of it is done:"]
    lines += ["automation is frozen: nothing would be ordered"] if answer["frozen"] else []
    lines += [f"incident   {one}" for one in answer["incidents"]] or ["incident   none would be opened"]
    for one in answer["playbooks"]:
        shadow = " in shadow" if one["shadow"] else ""
        lines += [f"playbook   {one['name']}{shadow}"] + [f"             {step}" for step in one["steps"]]
        lines += [f"             not used: {reason}" for reason in one["unmet"]]
    for one in answer["orders"]:
        force = "" if one["enforcement"] == "full" else f", {one['enforcement']}"
        lines.append(f"{one['after_s']:8.3f} s  {one['what']}, by {one['by']}{force}: {one['why']}")
    for one in answer["refused"]:
        lines.append(f"{one['after_s']:8.3f} s  {one['what']} refused by {one['rule']}: {one['reason']}")
    lines += [f"by hand    {step}" for step in answer["by_hand"]]
    contained = answer["contained_s"]
    lines.append("in force   " + ("nothing" if contained is None else f"{contained:.3f} s after the deciding result"))
    left = answer["still_failing"]
    lines.append("afterwards " + ("it is not called any more" if left is None else f"{left:.0%} of its calls fail"))
    lines.append(f"felt by    {', '.join(answer['blast']) or 'nobody calls it'}")
    lines.append(f"owner      {', '.join(answer['owners']) or 'none is named'}")
    for one in answer["told"][:TOLD_SHOWN]:
        lines.append(f"{one['after_s']:8.3f} s  told, {one['severity']}: {one['text']}")
    more = len(answer["told"]) - TOLD_SHOWN
    lines += [f"            and {more} more"] if more > 0 else []
    print("\n".join(printable(line) for line in lines))


def _drill(found: Drill, *, quiet: bool) -> None:
    lines = []
    if not quiet:
        lines += [f"{one.after_s:9.3f} s  {one.who:<12} {one.text}" for one in found.timeline]
    lines += [f"failed     {reason}" for reason in found.failed]
    if found.contained_s is not None:
        lines.append(f"contained  {found.contained_s:.3f} s after the failure")
    for name, harm in (("with it", found.with_it), ("without", found.without), ("nobody", found.unattended)):
        if harm is not None:
            lines.append(f"{name:<10} {harm.failed} failed and {harm.slow} slow of {harm.requests} users' requests")
    how = "in simulation" if found.how == "simulation" else "against the running process, in shadow"
    lines.append(f"{found.playbook} {'did not pass' if found.failed else 'passed'} {how}")
    print("\n".join(printable(line) for line in lines))


def _playbooks(answer: dict[str, Any]) -> None:
    said = {True: "enforced", False: "shadow", "response": "as [response]"}
    rows = []
    for one in answer["playbooks"]:
        reliable = "-" if one["unreliable"] is None else "no" if one["unreliable"] else "yes"
        when = f"{one['rehearsed_at']} ({one['rehearsed_how']})" if one["rehearsed_at"] else "-"
        rows.append((one["name"], said[one["enforce"]], one["owner"] or "-", one["rehearsed"], when, reliable))
    head = ("PLAYBOOK", "ORDERS", "OWNER", "REHEARSED", "WHEN", "RELIABLE")
    table_of(head, rows, empty="no playbooks")
    for one in answer["playbooks"]:
        if one["rehearsed"].endswith("changed"):
            print(
                printable(
                    f"{one['name']}: the {one['rehearsed']} since it was rehearsed: controlplane drill {one['name']}"
                )
            )
        for reason in one["unreliable"] or ():
            print(printable(f"{one['name']}: unreliable: {reason}"))
        for reason in one["failed"] if one["rehearsed"] == "failed" else ():
            print(printable(f"{one['name']}: its last drill did not pass: {reason}"))
