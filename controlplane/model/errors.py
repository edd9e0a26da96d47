"""The error tree.

    ControlPlaneError
    +-- ConfigError            the file, a key or a value is wrong; names the key and what would be right
    +-- JournalError           the journal could not be read or written
    |   +-- JournalBusy        another process holds it
    +-- ArenaError             the memory shared by a host's processes cannot be used
    |   +-- ArenaMismatch      living processes use it with another geometry
    |   +-- ArenaFull          no place is left in it
    |   +-- ArenaBusy          another process steers already
    +-- ActuationError         a data plane did not take a command; `retryable` answers the loop's one question
    |   +-- StaleEpoch         an order of an older epoch reached a data plane that knows a newer one
    |   +-- StaleCommand       a later order about the same target has overtaken it
    |   +-- LeaseLapsed        an order reached a data plane after its lease
    |   +-- NotHere            no traffic of the target passes this data plane: it is for another one
    +-- NotifyError            a notifier did not take a notice; `retryable` says whether it may yet

Expected outcomes (a refusal, a skipped act) are values and not here. Refusals at an httpx border are
`adapters.gateway.transport.RefusedError`, an `httpx.TransportError`, so that existing handlers work.
"""

from collections.abc import Sequence


class ControlPlaneError(Exception):
    """Base of everything this package raises."""


class ConfigError(ControlPlaneError):
    """Configuration was refused; nothing was changed. `problems` has every one that was found. `line` 0: not known."""

    def __init__(
        self, reason: str, *, key: str = "", source: str = "", line: int = 0, problems: Sequence["ConfigError"] = ()
    ) -> None:
        self.reason, self.key, self.source, self.line = reason, key, source, line
        self.problems: tuple[ConfigError, ...] = tuple(problems) or (self,)
        where = f"{source}:{line}" if line else source
        super().__init__(": ".join(part for part in (where, key, reason) if part))

    @classmethod
    def of(cls, problems: Sequence["ConfigError"], *, source: str = "") -> "ConfigError":
        """One error that carries all of `problems`."""
        if len(problems) == 1:
            return problems[0]
        lines = "".join(f"\n  {problem.key}: {problem.reason}" for problem in problems)
        return cls(f"{len(problems)} problems{lines}", source=source, problems=problems)


class JournalError(ControlPlaneError):
    """The journal could not be read or written."""


class JournalBusy(JournalError):
    """Another live process holds this journal."""


class ArenaError(ControlPlaneError):
    """The memory shared by a host's processes cannot be used."""


class ArenaMismatch(ArenaError):
    """Living processes use it with another geometry."""


class ArenaFull(ArenaError):
    """No place is left in it."""


class ArenaBusy(ArenaError):
    """Another process steers already."""


class ActuationError(ControlPlaneError):
    """A data plane did not take a command; `rule` names the safety rule that it keeps, where that was the reason."""

    def __init__(self, reason: str, *, retryable: bool, rule: str = "") -> None:
        self.retryable, self.rule = retryable, rule
        super().__init__(reason)


class StaleEpoch(ActuationError):
    """The data plane has already obeyed a newer epoch."""

    def __init__(self, have: int, got: int) -> None:
        super().__init__(f"epoch {got} is older than {have}, which is in force", retryable=False, rule="epoch_fence")


class StaleCommand(ActuationError):
    """A later order about the same target is in force."""

    def __init__(self, have: str, got: str) -> None:
        super().__init__(f"{got} was overtaken by {have}, which is in force", retryable=False, rule="epoch_fence")


class LeaseLapsed(ActuationError):
    """The command came after its own lease: it is not carried out."""

    def __init__(self, command: str, late_ns: int) -> None:
        super().__init__(f"the lease of {command} expired {late_ns} ns ago", retryable=False, rule="lease_expiry")


class NotHere(ActuationError):
    """No traffic of the target passes this data plane. No failure of the order where another data plane took it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, retryable=False)


class NotifyError(ControlPlaneError):
    """A notifier did not take a notice. `retry_after_s`: it asks not to be asked again sooner."""

    def __init__(self, reason: str, *, retryable: bool, retry_after_s: float = 0.0) -> None:
        self.retryable, self.retry_after_s = retryable, retry_after_s
        super().__init__(reason)
