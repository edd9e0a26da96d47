"""Reads a scenario, drives the real engine through it in virtual time, and writes what it did as lines of text.

A scenario file has two halves divided by a line of dashes: what happens, and what the engine does about it.

    topology  web -> orders(3)            callers, callees; (n) endpoints named orders-1..n; versions as orders(2@v1,2@v2)
    soft      risk                        the service can be done without
    endpoints orders priority=0,0,1 zone=a,b,b capacity_per_s=80,80,40      fields of its endpoints, one after the other
    service   orders deployer=ci probe_path=/ok pool=32                     fields of it
    mode      observe
    ladder    shop chat after 5m pager+phone then management | repeat 10m      rungs, each the notifiers it names
    owner     team shop                   who is told on which ladder; service orders owner=team
    sensitive /pay rate_per_s=5           a route of the caller named first
    policy    penalty_s=1 ramp_step_s=1   fields of ResponsePolicy
    playbook  zone-out service=orders zone=b enforce=true owner=team      its match, and what else it says
    need      zone-out floor endpoints=2        one of its preconditions
    step      zone-out fail_over percent=50     one of its steps
    at 0ms    trip orders/orders-1 errors 5/5 contained began=8ms by=cart     flags as needed
    at 1.2s   probe orders/orders-1 passed | failed
    every 100ms until 3s  calls orders/orders-1 10 0 2    calls, failures, refused (as samples; "report" instead of "calls": CallsFinished)
    at 2s     users 100 3                 requests, failed; then slow, then retries
    at 2s     look                        each service that users see otherwise than it is, and how it is
    at 2s     fallback risk 5
    at 2s     relayed cart stock 6
    every 1s until 60s  edge cart stock 100 40 20ms attempts=160 server=5ms     of the second before: calls, failures, mean latency
    every 1s until 9s  beat orders/orders-1 every 1s | leaves
    at 2s     alert orders HighErrors severity=page "summary=half fail" for=5m id=f1 by=ours | resolved
    at 2s     drift orders/orders-1 1.6 120 alone | together
    at 2s     fingerprint orders/orders-1 a1 flag=on env=eu       name=value: parts; env: its environment
    at 2s     proxy edge "orders/orders-1 is not acknowledged" | proxy edge well
    at 2s     change deploy orders v2 ago=5s by=ci id=d1 on=orders-3,orders-4     kind, service, version ("-": none)
    every 1s until 9s  side orders 100/0 100/0 100/9/2     VersionsCounted: calls/failures/slow of its endpoints
    at 2s     order freeze alice "because"
    every 1s until 9s  condition orders queue not "12 calls wait" | condition orders queue well
    at 2s     order hold alice on orders/orders-1 for 30s "because"         release; "on everything"; without "for": until released
    at 2s     order override alice on orders rule healthy_floor for 30s "because"        revoke
    at 2s     trip orders/orders-1 errors 5/5 late 90s      what decided was so long ago
    at 2s     acknowledge i1 alice "on it"
    at 2s     rolled-back ok | failed "because"     the deployer says how the last roll-back ended
    at 2s     refuse-commands | take-commands       the data plane answers no | yes
    at 2s     newer-engine                          the data plane obeys an engine that has replaced this one
    at 2s     kill                                  nothing runs any more, until
    at 2s     restart [new-boot]
    until 10s
"""  # noqa: E501  the examples are lines of files

import re
import shlex
from dataclasses import dataclass, field

import msgspec

from controlplane.decide.engine import Engine
from controlplane.decide.state import describe, summary
from controlplane.model import record as rec
from controlplane.model import signal as sig
from controlplane.model.command import Command, RollBack
from controlplane.model.escalation import Ladder, Owner, People, Rung
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import Match, Playbook, PlaybookMatched, PlaybookReliability, PlaybookStepped
from controlplane.model.policy import ResponsePolicy
from controlplane.model.posture import Sensitive
from controlplane.model.signal import Cause, Signal, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import IncidentId, Nanos

ABOUT = ("hold", "release", "override", "revoke")
START = Nanos(1_000_000_000_000)
WALL = 1_700_000_000_000_000_000


def nanos(text: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return round(float(number) * {"us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9}[unit])


def target(text: str) -> Target:
    service, _, endpoint = text.partition("/")
    return Target(service, endpoint)


@dataclass
class Script:
    topology: Topology = field(default_factory=Topology)
    policy: dict[str, object] = field(default_factory=dict)
    events: list[tuple[int, list[str]]] = field(default_factory=list)
    playbooks: tuple[Playbook, ...] = ()
    end: int = 0
    ladders: dict[str, Ladder] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)

    @property
    def people(self) -> People:
        return People(ladders=self.ladders, owners=self.owners)


def parse(text: str) -> Script:
    script, edges, services, soft, endpoints, fields = Script(), [], {}, set(), {}, {}
    books: dict[str, dict[str, object]] = {}
    sensitive: list[Sensitive] = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        match words[0]:
            case "topology":
                edges.append((words[1], [_service(word, services) for word in words[3:]]))
                _service(words[1], services)
            case "endpoints" | "service":
                named = dict(word.split("=", 1) for word in words[2:])
                (endpoints if words[0] == "endpoints" else fields).setdefault(words[1], {}).update(named)
            case "soft":
                soft |= set(words[1:])
            case "playbook":
                books[words[1]] = _book(words[1], dict(word.split("=", 1) for word in words[2:]))
            case "need" | "step":
                kind = "preconditions" if words[0] == "need" else "steps"
                first = {"need" if words[0] == "need" else "do": words[2]}
                books[words[1]].setdefault(kind, []).append(first | dict(word.split("=", 1) for word in words[3:]))
            case "ladder":
                script.ladders[words[1]] = _ladder(words[2:])
            case "owner":
                script.owners[words[1]] = Owner(ladder=words[2])
            case "sensitive":
                named = dict(word.split("=", 1) for word in words[2:])
                sensitive.append(msgspec.convert({"path": words[1], **named}, Sensitive, strict=False))
            case "mode":
                script.policy["mode"] = words[1]
            case "policy":
                script.policy |= {key: msgspec.json.decode(value) for key, value in (w.split("=") for w in words[1:])}
            case "at":
                script.events.append((nanos(words[1]), words[2:]))
            case "every":
                step, stop = nanos(words[1]), nanos(words[3])
                begin = nanos(words[5]) if words[4] == "from" else step
                rest = words[6:] if words[4] == "from" else words[4:]
                script.events += [(at, rest) for at in range(begin, stop + 1, step)]
            case "until":
                script.end = nanos(words[1])
            case other:
                raise ValueError(f"unknown line: {other}")
    calls = {caller: tuple(callees) for caller, callees in edges}
    for name, lists in endpoints.items():
        for key, values in lists.items():
            pairs = zip(services[name], values.split(","), strict=True)
            services[name] = tuple(_with(one, {key: value}) for one, value in pairs)
    script.topology = Topology(
        services=tuple(
            _with(
                Service(name=name, endpoints=own, calls=calls.get(name, ()), fallback=name in soft),
                fields.get(name, {}),
            )
            for name, own in services.items()
        ),
        entry=edges[0][0],
        sensitive=tuple(sensitive),
    )
    script.playbooks = tuple(msgspec.convert(one, Playbook, strict=False) for one in books.values())
    script.events.sort(key=lambda event: event[0])
    return script


def _book(name: str, named: dict[str, str]) -> dict[str, object]:
    """A playbook as a file would have it, from the words of a line."""
    match = {key: named.pop(key) for key in Match.__struct_fields__ if key in named}
    if "cause" in match:
        match["cause"] = match["cause"].split(",")
    if named.get("enforce") in ("true", "false"):
        named["enforce"] = named["enforce"] == "true"
    return {"name": name, "match": match, **named}


def _ladder(words: list[str]) -> Ladder:
    """As `chat after 5m pager+phone then other`, or `... repeat 10m`."""
    found: list[Rung] = []
    then, repeat_s, after_s = "", 0.0, 0.0
    while words:
        match words:
            case ["after", time, *words]:
                after_s = nanos(time) / 1e9
            case ["then", then, *words]:
                pass
            case ["repeat", time, *words]:
                repeat_s = nanos(time) / 1e9
            case [names, *words]:
                found.append(Rung(notify=tuple(names.split("+")), after_s=after_s))
    return Ladder(rungs=tuple(found), then=then, repeat_s=repeat_s)


def _with(one, named: dict[str, str]):
    """`one` with fields that a line names as text."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(type(one))}
    lists = {key for key, kind in kinds.items() if kind == tuple[str, ...]}
    typed = {
        key: tuple(value.split("+")) if key in lists else msgspec.convert(value, kinds[key], strict=False)
        for key, value in named.items()
    }
    return msgspec.structs.replace(one, **typed)


def _service(word: str, services: dict[str, tuple[Endpoint, ...]]) -> str:
    name, spec = re.fullmatch(r"([\w-]+)(?:\((.*)\))?", word).groups()
    versions = []
    for part in (spec or "1").split(","):
        count, _, version = part.partition("@")
        versions += [version] * int(count)
    endpoints = tuple(
        Endpoint(name=f"{name}-{index}", url=f"http://127.0.0.1:{index}", version=version)
        for index, version in enumerate(versions, 1)
    )
    if spec or name not in services:
        services[name] = endpoints
    return name


class Run:
    """One pass of a script through an engine; `lines` is the transcript, `outcomes` the raw values."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.policy = msgspec.convert(script.policy, ResponsePolicy)
        self.lines: list[str] = []
        self.outcomes: list[Outcome] = []
        self.records: list[rec.Record] = []
        self.takes_commands, self.fenced = True, False
        self.engine = self._engine()
        self.wake_at: Nanos | None = None
        self.boot = 1
        self.alive = True
        self._samples: dict[Target, list[int]] = {}

    def _engine(self) -> Engine:
        script = self.script
        return Engine(script.topology, self.policy, playbooks=script.playbooks, people=script.people)

    def play(self) -> str:
        self._effects(0, self.engine.start(START, boot="boot-1", wall_ns=WALL))
        for at, words in self.script.events:
            self._ticks(at)
            self._event(at, words)
        self._ticks(self.script.end)
        return "\n".join(self.lines)

    def _ticks(self, until: int) -> None:
        while self.wake_at is not None and self.wake_at - START <= until:
            at = self.wake_at - START
            for where, (calls, failures, refused) in self._samples.items():
                sample = sig.Sampled(
                    at=self.wake_at, target=where, calls=calls, failures=failures, slow=0, refused=refused
                )
                self._effects(at, self.engine.step(sample, Nanos(START + at)))
            self._samples.clear()
            self._effects(at, self.engine.tick(Nanos(START + at)))

    def _event(self, at: int, words: list[str]) -> None:
        now = Nanos(START + at)
        match words:
            case ["calls", where, *counts]:
                entry = self._samples.setdefault(target(where), [0, 0, 0])
                for index, count in enumerate(counts):
                    entry[index] += int(count)
                return
            case ["refuse-commands"]:
                self.takes_commands = False
                return
            case ["take-commands"]:
                self.takes_commands = True
                return
            case ["newer-engine"]:
                self.fenced = True
                return
            case ["look"]:
                states = self.engine.service_states(now, notable=True)
                self.lines += [f"{_time(at)}  seen {one.line}" for one in states]
                return
            case ["kill"]:
                self.wake_at, self.alive = None, False
                return
            case _ if not self.alive and words[0] != "restart":
                return
            case ["rolled-back", result, *reason]:
                self._effects(at, self.engine.step(self._rolled_back(result, reason, now), now))
                return
            case ["restart", *how]:
                self._restart(at, new_boot=how == ["new-boot"])
                return
        self._effects(at, self.engine.step(_signal(words, now), now))

    def _rolled_back(self, result: str, reason: list[str], now: Nanos) -> sig.RolledBack:
        issued = [each.command for each in self.records if isinstance(each, rec.CommandIssued)]
        last = [command for command in issued if isinstance(command.intent, RollBack)][-1]
        return sig.RolledBack(at=now, command=last.id, ok=result == "ok", reason=" ".join(reason))

    def _restart(self, at: int, *, new_boot: bool) -> None:
        """As after a kill: only what is on record comes back, through its encoding."""
        self.alive = True
        stored = msgspec.json.decode(msgspec.json.encode(self.records), type=list[rec.Record])
        self.engine = Engine(self.script.topology, self.policy, playbooks=self.script.playbooks)
        self.engine = self._engine()
        self.engine.restore(stored)
        self.boot += new_boot
        self.lines.append(f"{_time(at)}  -- restart")
        outcome = self.engine.start(Nanos(START + at), boot=f"boot-{self.boot}", wall_ns=WALL + at)
        self._effects(at, outcome)

    def _effects(self, at: int, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.records += outcome.records
        self.wake_at = outcome.wake_at
        self.lines += [f"{_time(at)}  {line}" for record in outcome.records if (line := _line(record))]
        self.lines += [f"{_time(at)}  tell {_whom(notice)}: {notice.text}" for notice in outcome.notices]
        for command in outcome.commands:
            acted = self._answer(command, Nanos(START + at))
            self._effects(at, self.engine.step(acted, Nanos(START + at)))
        for notice in outcome.notices:  # people are reached at once
            heard = sig.Told(at=Nanos(START + at), key=notice.key, by="people")
            self._effects(at, self.engine.step(heard, Nanos(START + at)))

    def _answer(self, command: Command, now: Nanos) -> sig.Acted:
        if self.fenced:
            reason = f"epoch {command.epoch} is older than {command.epoch + 1}, which is in force"
            return sig.Acted(at=now, command=command.id, ok=False, reason=reason, rule="epoch_fence")
        reason = "" if self.takes_commands else "unreachable"
        return sig.Acted(at=now, command=command.id, ok=self.takes_commands, reason=reason, retryable=True)


def _whom(notice: Notice) -> str:
    if notice.to is None:
        return notice.severity
    return f"{' and '.join(notice.to) or 'nobody yet'}, {notice.severity}"


def _signal(words: list[str], now: Nanos) -> Signal:
    match words:
        case ["trip", where, cause, evidence, *flags]:
            failures, calls = map(int, evidence.split("/"))
            late = nanos(flags[flags.index("late") + 1]) if "late" in flags else 0
            return sig.Tripped(
                at=Nanos(now - late),
                target=target(where),
                cause=Cause(cause),
                calls=calls,
                failures=failures,
                contained="contained" in flags,
                capped="capped" in flags,
                **_told_by(flags, now),
            )
        case ["drift", where, factor, calls, how]:
            return sig.Drifted(
                at=now, target=target(where), factor=float(factor), calls=int(calls), alone=how == "alone"
            )
        case ["change", kind, service, version, *more]:
            named = dict(word.split("=", 1) for word in more)
            return sig.Changed(
                at=now,
                id=named.get("id", f"{service} {version}"),
                service=service,
                made_at=Nanos(now - (nanos(named["ago"]) if "ago" in named else 0)),
                kind=kind,
                version="" if version == "-" else version,
                endpoints=tuple(filter(None, named.get("on", "").split(","))),
                by=named.get("by", ""),
            )
        case ["side", service, *rows]:
            counts = [(*map(int, row.split("/")), 0)[:3] for row in rows]
            return sig.VersionsCounted(
                at=now, service=service, rows=tuple((f"{service}-{n}", *row) for n, row in enumerate(counts, 1))
            )
        case ["fingerprint", where, value, *more]:
            parts = dict(word.split("=", 1) for word in more)
            environment = parts.pop("env", "")
            return sig.FingerprintSeen(
                at=now, target=target(where), fingerprint=value, parts=parts, environment=environment
            )
        case ["proxy", name, *differs]:
            return sig.PlaneCompared(at=now, plane=name, differs=() if differs == ["well"] else tuple(differs))
        case ["beat", where, *how]:
            return sig.Heartbeat(at=now, target=target(where), every_ns=nanos(how[1]) if how[0] == "every" else 0)
        case ["alert", where, name, *more]:
            named = dict(word.split("=", 1) for word in more if "=" in word)
            return sig.Alerted(
                at=now,
                target=target(where),
                fingerprint=named.get("id", name),
                name=name,
                firing="resolved" not in more,
                severity=named.get("severity", ""),
                summary=named.get("summary", ""),
                for_ns=nanos(named["for"]) if "for" in named else 0,
                by=named.get("by", ""),
            )
        case ["probe", where, result]:
            return sig.Probed(at=now, target=target(where), passed=result == "passed")
        case ["report", where, calls, failures]:
            return sig.CallsFinished(at=now, target=target(where), calls=int(calls), failures=int(failures))
        case ["checked", where, result]:
            return sig.ProbeFinished(at=now, target=target(where), ok=result == "ok")
        case ["users", *counts]:
            requests, failed, slow, retries = [*map(int, counts), 0, 0][:4]
            return sig.EntrySampled(at=now, requests=requests, failed=failed, slow=slow, retries=retries)
        case ["fallback", service, count]:
            return sig.FellBack(at=now, service=service, count=int(count))
        case ["relayed", caller, callee, count]:
            return sig.Relayed(at=now, caller=caller, callee=callee, count=int(count))
        case ["effective", where, ago]:
            return sig.Effective(at=now, target=target(where), signal_at=Nanos(now - nanos(ago)))
        case ["edge", caller, callee, calls, failures, *more]:
            return _edge(caller, callee, int(calls), int(failures), more, now)
        case ["condition", service, what, how, *reason]:
            return sig.Condition(at=now, service=service, what=what, well=how == "well", reason=" ".join(reason))
        case ["acknowledge", incident, by, *reason]:
            return sig.Acknowledged(at=now, incident=IncidentId(incident), by=by, reason=" ".join(reason))
        case ["order", order, by, "on", where, *more]:
            named = dict(zip(more[:-1:2], more[1::2], strict=False)) if len(more) > 1 else {}
            return sig.Ordered(
                at=now,
                order=order,
                by=by,
                reason=more[-1] if len(more) % 2 else "",
                target=None if where == "everything" else target(where),
                rule=named.get("rule", ""),
                for_ns=nanos(named["for"]) if "for" in named else 0,
            )
        case ["order", order, by, *reason]:
            return sig.Ordered(at=now, order=order, by=by, reason=" ".join(reason))
        case ["unwritten", count, *reason]:
            return sig.Unwritten(at=now, records=int(count), reason=" ".join(reason))
    raise ValueError(f"unknown event: {words}")


def _told_by(flags: list[str], now: Nanos) -> dict[str, object]:
    """by=NAME: who reported it; began=30ms: how long ago the earliest evidence of it was."""
    named = dict(flag.split("=") for flag in flags if "=" in flag)
    began_at = Nanos(now - nanos(named["began"])) if "began" in named else None
    return {"by": named.get("by", ""), "began_at": began_at}


def _edge(caller: str, callee: str, calls: int, failures: int, more: list[str], now: Nanos) -> sig.EdgeSampled:
    """What a service in the middle told of one of its edges; "-" for the caller: users."""
    named = dict(word.split("=") for word in more if "=" in word)
    latency = next((nanos(word) for word in more if "=" not in word), None)
    attempts = int(named["attempts"]) if "attempts" in named else calls
    return sig.EdgeSampled(
        at=now,
        caller="" if caller == "-" else caller,
        callee=callee,
        window_ns=1_000_000_000,
        calls=calls,
        failures=failures,
        attempts=attempts,
        client_latency_ns=None if latency is None else latency * attempts,
        server_latency_ns=nanos(named["server"]) * attempts if "server" in named else None,
        source="spans",
    )


def _time(at: int) -> str:
    return f"{at / 1e9:8.3f}s"


def _line(record: rec.Record) -> str:
    match record:
        case rec.IncidentOpened():
            shadow = " shadow" if record.shadow else ""
            return (
                f"incident {record.incident} opened{shadow}  origin {record.origin}  {record.cause}: {record.evidence}"
            )
        case rec.EvidenceAdded():
            version = f"  version {record.version}" if record.version else ""
            return f"evidence {record.incident}  {record.target}: {record.evidence}{version}"
        case rec.OriginMoved():
            return f"laid {record.incident} to {record.origin}: {record.reason}"
        case rec.Assessed():
            return f"assessed {record.incident}: {summary(record.analysis)}"
        case rec.CommandIssued(command=command):
            lease = (command.lease_until - record.at) / 1e9
            how = f"{command.percent}%" if command.enforcement == "percent" else command.enforcement
            return f"{how} command {describe(command)}  epoch {command.epoch}  lease {lease:g}s"
        case rec.CommandRefused():
            return f"refused {type(record.intent).__name__.lower()} {record.target}  by {record.rule}: {record.reason}"
        case rec.StageChanged():
            share = f" {record.percent}%" if record.stage == "ramp" and not record.overload else ""
            limit = f" limit {record.concurrency}" if record.overload else ""
            return f"stage {record.target} {record.stage}{share}{limit}: {record.reason}"
        case rec.PhaseChanged():
            return f"phase {record.incident} {record.phase}: {record.reason}"
        case rec.IncidentMerged():
            return f"merged {record.incident} into {record.into}: {record.reason}"
        case rec.SpreadMeasured():
            edges = ", ".join(" -> ".join(pair) for pair in record.edges)
            return f"spread {record.incident}: {', '.join(record.services)} ({edges})"
        case rec.MaskChanged():
            return f"masked {record.incident} {'yes' if record.masked else 'no'}: {record.reason}"
        case rec.Escalated():
            return f"escalated {record.incident}: {record.reason}"
        case rec.RungClimbed():
            named = f"rung {record.rung + 1}: {', '.join(record.notify)}" if record.notify else "nobody yet"
            return f"ladder {record.incident} {record.ladder} {named}: {record.reason}"
        case rec.IncidentAcknowledged():
            said = f": {record.reason}" if record.reason else ""
            return f"acknowledged {record.incident} by {record.by}{said}"
        case rec.IncidentClosed():
            return f"incident {record.incident} closed: {record.reason}"
        case PlaybookMatched():
            said = f"not used: {'; '.join(record.unmet)}" if record.unmet else "fits"
            return f"playbook {record.playbook} {record.incident}{' shadow' if record.shadow else ''}: {said}"
        case PlaybookStepped():
            what = " ".join(filter(None, (record.how, *record.commands)))
            return f"playbook {record.playbook} step {record.step} {record.what}: {what}  {record.reason}".rstrip()
        case PlaybookReliability():
            how = f"unreliable: {'; '.join(record.reasons)}" if record.reasons else "reliable"
            return f"playbook {record.playbook} {how}"
        case rec.LeaseExpired():
            return f"lease expired {record.command} {record.target}"
        case rec.EpochStarted():
            return f"epoch {record.epoch}"
        case rec.CommandAcknowledged():
            return "" if record.ok else f"not taken {record.command}: {record.reason}"
        case rec.JournalGap():
            return f"journal gap {record.records}: {record.reason}"
        case rec.ImpactCounted():
            harm = (
                f"{record.failed} failed, {record.slow} slow of {record.requests} requests" if record.requests else ""
            )
            return f"impact {record.incident}: {harm}" if record.failed or record.slow else ""
        case rec.ConditionChanged():
            how = "well" if record.well else "not well"
            return f"condition {record.incident} {record.what} {how}: {record.reason}"
        case rec.PenaltyDecayed():
            left = f"{record.penalty_ns / 1e9:g} s" if record.penalty_ns else "nothing"
            return f"penalty {record.target} down to {left}: {record.reason}"
        case rec.OrderTaken():
            about = f" {record.target or ('everything' if record.order in ABOUT else '')}".rstrip()
            rule = f" {record.rule}" if record.rule else ""
            until = f" for {(record.until - record.at) / 1e9:g}s" if record.until is not None else ""
            return f"order {record.order}{rule}{about}{until} by {record.by}: {record.reason}"
        case rec.PlanEnacted(plan=plan):
            verb = "would enact" if plan.shadow else "enacted"
            return f"{verb} {record.incident}: {plan.text}: {plan.harm:.4g} -> {plan.expected:.4g} harmed/s expected"
        case rec.PlanJudged():
            return f"judged {record.incident}: {'helped' if record.helped else 'did not help'}: {record.reason}"
        case rec.LeftToPeople():
            return f"left to people {record.incident}: {'; '.join(record.steps)}"
        case rec.ChangeNoted():
            return f"change {record.kind} {record.service} {record.version or '-'}  by {record.by or '-'}"
        case rec.VersionFound():
            return f"version {record.service} {record.version} is the cause: {record.evidence}"
        case rec.RegressionTold():
            return f"regression {record.service} {record.version}: {record.evidence}"
        case rec.DriftFound():
            return f"drift {record.who}: {', '.join(record.differs)}  against {record.against}"
        case rec.DriftCleared():
            return f"drift over {record.who}: {record.reason}"
        case rec.PostureFound(finding=finding) | rec.PostureChanged(finding=finding):
            return f"finding {finding.id} {record.incident}: {finding}"
        case rec.PostureCleared():
            return f"finding {record.finding} {record.incident} over: {record.reason}"
        case rec.VersionWithdrawn():
            return f"withdrawn {record.service} {record.version} by {record.command}"
        case rec.VersionProven():
            return f"proven {record.service} {record.version}: {record.reason}"
        case rec.VersionReleased():
            return f"released {record.service} {record.version}: {record.reason}"
        case rec.RollbackEnded():
            return f"roll-back {record.command} {'done' if record.ok else 'failed'}: {record.reason}"
    return ""
