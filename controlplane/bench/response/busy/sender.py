"""Collectors that send spans at a rate: python -m controlplane.bench.response.busy.sender URL FILE SPANS_PER_S

Each of a few connections has one request under way, as an exporter does; a refusal is obeyed and counted. Ends at the
end of stdin and tells then, as one line of JSON, how it went.
"""

import http.client
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from controlplane.bench.response.busy.batches import CALLS, Body, read

CONNECTIONS: Final = 4
BEHIND_MAX_S: Final = 0.25  # what could not be sent in time is left out, not caught up in a burst
TIMEOUT_S: Final = 10.0


class Sent(msgspec.Struct):
    """What became of the requests of one or of all connections; `slowest_ms` of one that was taken."""

    taken: int = 0
    refused: int = 0
    broken: int = 0
    slowest_ms: float = 0.0


def send(
    address: tuple[str, int],
    bodies: list[Body],
    numbers: Iterator[int],
    every_s: float,
    stop: threading.Event,
    sent: Sent,
) -> None:
    """Send one of `bodies` each `every_s` until `stop`, made new with the next of `numbers`."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    due = time.monotonic()
    while not stop.is_set():
        now = time.monotonic()
        due = max(due, now - BEHIND_MAX_S)
        if due > now:
            stop.wait(due - now)
            continue
        due += every_s
        number = next(numbers)
        try:
            body = bodies[number // CONNECTIONS % len(bodies)].renewed(number)
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            sent.broken += 1
            connection.close()
            stop.wait(0.1)
            continue
        if response.status == 200:
            sent.taken += 1
            sent.slowest_ms = max(sent.slowest_ms, (time.monotonic() - now) * 1e3)
        else:
            sent.refused += 1
            stop.wait(float(response.headers.get("retry-after", "1")))
    connection.close()


def main(url: str, file: str, spans_per_s: float) -> None:
    """Send until stdin ends."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    stop, sent = threading.Event(), [Sent() for _ in range(CONNECTIONS)]
    every_s = 2 * CALLS * CONNECTIONS / spans_per_s
    senders = []
    for share in range(CONNECTIONS):
        bodies = read(Path(file), share, CONNECTIONS)
        numbers = itertools.count(share, CONNECTIONS)
        arguments = ((parts.hostname, parts.port), bodies, numbers, every_s, stop, sent[share])
        senders.append(threading.Thread(target=send, args=arguments, daemon=True))
    print("ready", flush=True)
    for sender in senders:
        sender.start()
        stop.wait(every_s / CONNECTIONS)  # in turns, not all at one instant
    sys.stdin.read()
    stop.set()
    for sender in senders:
        sender.join(TIMEOUT_S)
    total = Sent(
        taken=sum(one.taken for one in sent),
        refused=sum(one.refused for one in sent),
        broken=sum(one.broken for one in sent),
        slowest_ms=max(one.slowest_ms for one in sent),
    )
    print(msgspec.json.encode(total).decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
