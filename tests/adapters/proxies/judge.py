"""A judge that remembers what it was told."""

from controlplane.model.signal import Target


class RecordingJudge:
    """A `ports.CallJudge`. A call is overdue after a second."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []
        self.relays: list[tuple[str, str]] = []
        self.requests: list[tuple[bool, int]] = []
        self.refused = 0

    def ended(self, target: Target, outcome: int, latency_ns: int) -> None:
        self.calls.append((str(target), outcome, latency_ns))

    def relayed(self, caller: str, callee: str) -> None:
        self.relays.append((caller, callee))

    def asked(self, *, failed: bool, latency_ns: int) -> None:
        self.requests.append((failed, latency_ns))

    def shed(self) -> None:
        self.refused += 1

    def stall_ns(self, service: str) -> int:
        return 1_000_000_000
