"""Who is told, and who next when nobody answers: ladders, owners and notifiers, as configuration names them, and how
far an incident's ladder has been climbed."""

from typing import Annotated, Literal

import msgspec

from controlplane.model.base import RecordBase, SignalBase
from controlplane.model.notice import Notice
from controlplane.model.unit import IncidentId, Nanos

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
NotifierKind = Literal["webhook", "slack", "pagerduty", "alertmanager"]
Severity = Literal["info", "warning", "critical"]

LOG = "log"  # a rung's name for this process's own log, which has every notice anyway: nobody else is told
TELLINGS_MAX = 200  # notices kept per incident; the journal has them all


class Rung(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`notify` names notifiers; it is climbed to `after_s` seconds after the rung before it, or after the beginning."""

    notify: tuple[str, ...]
    after_s: Seconds = 0.0


class Ladder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rungs` from the first on. `then`: the ladder that goes on after the last rung; empty: the last is repeated every
    `repeat_s` (0: never)."""

    rungs: tuple[Rung, ...]
    then: str = ""
    repeat_s: Seconds = 0.0


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who answers for a service: `ladder` names the one on which they are told."""

    ladder: str
    contact: str = ""


class People(msgspec.Struct, frozen=True, kw_only=True):
    """All that the engine knows of people: `[ladders]` and `[owners]`; services name their owner."""

    ladders: dict[str, Ladder] = {}
    owners: dict[str, Owner] = {}


class NotifierSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who is told, over HTTP. The secret is in `token_file` or in the environment variable `token_env`.

    webhook       CloudEvents 1.0 to `url`, signed with the secret if there is one
    slack         into `channel`, with a bot's token; without `channel` the secret is an incoming webhook's whole URL
    pagerduty     Events API v2; the secret is the integration's routing key
    alertmanager  API v2 of the server at `url`, with the secret as bearer token if there is one; what is open is said
                  again every `repeat_s`

    `group_wait_s`: updates about one incident are gathered for so long; its first notice and critical ones never wait.
    `quiet`: times of day, as "22:00-07:00" in `timezone`, in which only critical notices are delivered; the others wait
    for their end. `least`: less severe notices are left out, but for those that end what was told. `proxy`: URL of an
    HTTP proxy on the way.
    """

    kind: NotifierKind
    url: str = ""
    channel: str = ""
    token_file: str = ""
    token_env: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 10.0
    group_wait_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 5.0
    repeat_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60.0
    quiet: tuple[str, ...] = ()
    timezone: str = "UTC"
    least: Severity = "info"
    proxy: str = ""


class Climb(msgspec.Struct, kw_only=True):
    """How far the ladder of an incident has been climbed.

    `ladder` empty: it has none, and everybody is told. `rung` counts over the ladders that follow by `then`, -1: not
    even the first. `told`: notifiers named by the rungs so far. `lost`: why containment does not hold since `at`.
    """

    ladder: str = ""
    rung: int = -1
    at: Nanos = Nanos(0)
    told: tuple[str, ...] = ()
    acknowledged_by: str = ""
    acknowledged_at: Nanos | None = None
    lost: str = ""
    urgent: bool = False


class Delivered(msgspec.Struct, frozen=True):
    """A notifier had a notice `at` that time, or has given up on it."""

    by: str
    at: Nanos
    ok: bool
    reason: str = ""


class Telling(msgspec.Struct, kw_only=True):
    """One notice about an incident, and who had it when."""

    notice: Notice
    delivered: list[Delivered] = msgspec.field(default_factory=list)


class Acknowledged(SignalBase, frozen=True, tag="acknowledged"):
    """A person takes `incident`: its ladder is climbed no further while containment holds."""

    incident: IncidentId
    by: str
    reason: str = ""


class RungClimbed(RecordBase, frozen=True, tag="rung_climbed"):
    """The ladder of `incident` stands at `rung` now, which names `notify`; -1: it has begun and told nobody yet."""

    incident: IncidentId
    ladder: str
    rung: int
    notify: tuple[str, ...]
    reason: str


class IncidentAcknowledged(RecordBase, frozen=True, tag="incident_acknowledged"):
    """Somebody has taken the incident."""

    incident: IncidentId
    by: str
    reason: str = ""
