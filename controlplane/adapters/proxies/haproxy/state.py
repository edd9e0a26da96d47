"""What HAProxy says about itself: its answers to `show info`, `show stat` and `controlplane list`, as values."""

from collections.abc import Iterator
from typing import Final, NamedTuple

SERVERS: Final = "show stat -1 4 -1"  # of all proxies, servers only
INFO: Final = "show info"
LIST: Final = "controlplane list"
PERSON: Final = ("MAINT", "DRAIN")  # what only somebody's hand, or the configuration, brings about
_COLUMNS: Final = ("pxname", "svname", "scur", "stot", "wretr", "wredis", "status", "weight", "check_status")


class Info(NamedTuple):
    """One worker process. `leaving`: it was reloaded, serves what it has, and takes no order that matters."""

    instance: str
    leaving: bool
    dropped_logs: int


class Server(NamedTuple):
    """One server of a backend. `in_flight` requests are with it now, of `started` that it was ever given; `retried` are
    connections that were tried again, there or elsewhere: no log line names it for those."""

    backend: str
    name: str
    in_flight: int
    started: int
    retried: int
    status: str
    weight: int
    checked: bool

    @property
    def by_hand(self) -> str:
        """MAINT or DRAIN where a person, or the configuration, has put it there; else nothing."""
        word = self.status.split(" ")[0]
        return word if word in PERSON else ""

    @property
    def usable(self) -> bool:
        """Whether HAProxy itself would send requests there."""
        return self.status.startswith(("UP", "no check")) and self.weight > 0


class Entry(NamedTuple):
    """What is in force: a hold of a server, or a rule in the map; how long it lasts, and what it says."""

    kind: str
    name: str
    left_ms: int
    value: int


def read_info(text: str) -> Info:
    """The worker that answered `show info`. Raises ValueError where this is not HAProxy."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    if "Pid" not in fields:
        raise ValueError(f"not HAProxy's answer to `{INFO}`: {text[:80]!r}")
    began = fields.get("Start_time_sec", "")
    return Info(
        instance=f"pid {fields['Pid']}" + (f" since {began}" if began else ""),
        leaving=fields.get("Stopping", "0") != "0",
        dropped_logs=_number(fields.get("DroppedLogs", "")),
    )


def read_servers(text: str) -> Iterator[Server]:
    """Every server in an answer to `SERVERS`; lines that are none are left out."""
    lines = iter(text.splitlines())
    header = next(lines, "").removeprefix("# ").split(",")
    try:
        at = [header.index(name) for name in _COLUMNS]
    except ValueError as error:
        raise ValueError(f"not HAProxy's answer to `{SERVERS}`: {error}") from None
    for line in lines:
        cells = line.split(",")
        if len(cells) <= max(at):
            continue
        backend, name, now, started, retried, moved, status, weight, check = (cells[column] for column in at)
        yield Server(
            backend=backend,
            name=name,
            in_flight=_number(now),
            started=_number(started),
            retried=_number(retried) + _number(moved),
            status=status,
            weight=_number(weight),
            checked=bool(check),
        )


def read_list(text: str) -> list[Entry] | None:
    """What is in force by the script; None where HAProxy has not loaded it."""
    entries = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) != 4 or words[0] not in ("hold", "rule"):
            return None
        entries.append(Entry(words[0], words[1], _number(words[2]), _number(words[3])))
    return entries


def _number(text: str) -> int:
    """`text` as a whole number, 0 where there is none."""
    return int(text) if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() else 0
