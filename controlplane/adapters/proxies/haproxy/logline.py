"""A line of HAProxy's log, as what it says of one call. Lines are words of strangers: what does not parse says nothing.

Our part of a line begins with MARK, wherever it stands, so that a log format of somebody's own can end with it:

    log-format "controlplane/1 %b %s %ST %ts %Tc %Tr %Ta %rc %[var(txn.cp_refused)] %[var(txn.cp_cause)]"
"""

import re
from typing import Final

from controlplane._native.guard import ERROR, SUCCESS, TIMEOUT
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.observe import HALF_MS, Told, Whose, outcome_of
from controlplane.model.unit import MILLISECOND

MARK: Final = b"controlplane/1 "
LINE_BYTES_MAX: Final = 8192
NO_SERVER: Final = b"<NOSRV>"
_LINE: Final = re.compile(  # backend server status end connect answer active retries refused cause
    rb"([^\s/]{1,255}) ([^\s/]{1,255}) (-1|[0-9]{1,3}) ([A-Za-z-]{2,4})"
    rb" (-1|\+?[0-9]{1,10}) (-1|\+?[0-9]{1,10}) (-1|\+?[0-9]{1,10}) \+?[0-9]{1,5}"
    rb" (-|[0-9]{1,5}) (-|[A-Za-z0-9][A-Za-z0-9._-]{0,127})\s*\Z"
)

# How a session ended, by HAProxy's first letter ("-": as it should) and, where it matters, the second: what it waited
# for. https://docs.haproxy.org/2.6/configuration.html#8.5
_SERVER_ENDS: Final = {"S": ERROR, "s": TIMEOUT}
_CLIENT_LEFT: Final = "Cc"
_HEAD_HAD_COME: Final = "DL"  # data, or the last of it: the answer's head was there


def read_line(line: bytes, naming: Naming) -> Told | None:
    """What `line` says; None: nothing of ours. It never raises."""
    start = line.rfind(MARK, 0, LINE_BYTES_MAX)  # the last: what a user wrote into a path comes before
    if start < 0:
        return None
    found = _LINE.match(line[start + len(MARK) : start + LINE_BYTES_MAX])
    if found is None:
        return None
    backend, server, status_text, end, connect, answer, active, refused, cause = found.groups()
    status, connect_ms, answer_ms = int(status_text), int(connect), int(answer)
    waited_ms = connect_ms + answer_ms if connect_ms >= 0 and answer_ms >= 0 else max(0, int(active))
    waited_ns = waited_ms * MILLISECOND + HALF_MS
    target = naming.logged.get((backend, server))
    if target is None:
        return _unsent(backend, server, status, end.decode(), waited_ns, naming)
    service, endpoint = target
    whose, outcome = _judge(status, end.decode())
    named = "" if cause == b"-" else cause.decode()
    if whose is Whose.ENDPOINT and outcome != SUCCESS:
        if refused not in (b"-", b"0"):
            whose = Whose.REFUSED
        elif named not in ("", service):
            whose = Whose.RELAYED
    return Told(service, endpoint, whose, outcome, waited_ns, status, named)


def _judge(status: int, end: str) -> tuple[Whose, int]:
    """Whose word it was that a call to an endpoint ended so, and how it ended, if it was the endpoint's."""
    first, second = end[0], end[1]
    if first == "-":
        return Whose.ENDPOINT, outcome_of(status)
    if first in _SERVER_ENDS:
        return (Whose.PROXY, SUCCESS) if second == "Q" else (Whose.ENDPOINT, _SERVER_ENDS[first])
    if first in _CLIENT_LEFT:
        return (Whose.ENDPOINT, outcome_of(status)) if second in _HEAD_HAD_COME else (Whose.CLIENT, SUCCESS)
    if first == "P" and second == "H":
        return Whose.ENDPOINT, ERROR  # no HTTP, or less than it announced
    return Whose.PROXY, SUCCESS


def _unsent(backend: bytes, server: bytes, status: int, end: str, waited_ns: int, naming: Naming) -> Told | None:
    """A request to a backend of ours that no endpoint was given: refused by a rule of ours, or nobody was there."""
    service = naming.service(backend.decode("latin-1"))
    if service is None or server != NO_SERVER:
        return None
    whose = (
        Whose.REFUSED if end[0] == "P" and status == 503 else Whose.CLIENT if end[0] in _CLIENT_LEFT else Whose.PROXY
    )
    return Told(service, "", whose, SUCCESS, waited_ns, status)
