"""By what one knows that a rehearsal is out of date: the topology, or the playbook, is another one than then."""

import hashlib

import msgspec

from controlplane.model.playbook import Playbook
from controlplane.model.topology import Topology

DIGITS = 12


def topology_print(topology: Topology) -> str:
    """Twelve hexadecimal digits over everything a rehearsal depends on: not over addresses, declared configurations
    or the order of a file."""
    plain = msgspec.to_builtins(topology)
    for service in plain["services"]:
        for one in (service, *service["endpoints"]):
            one.pop("url", None)
            one.pop("fingerprint", None)  # each rollout brings another one, and no other topology
        service["endpoints"] = sorted(service["endpoints"], key=lambda one: str(one["name"]))
        service["calls"], service["soft"] = sorted(service["calls"]), sorted(service["soft"])
    plain["services"] = sorted(plain["services"], key=lambda one: str(one["name"]))
    return _digits(plain)


def playbook_print(playbook: Playbook) -> str:
    """The same over what a playbook does; not over who owns it, nor whether it is in shadow."""
    plain = msgspec.to_builtins(playbook)
    for key in ("owner", "ladder", "text", "enforce"):
        del plain[key]
    return _digits(plain)


def _digits(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:DIGITS]
