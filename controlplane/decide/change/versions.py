"""Compares the version that a deploy brought with those beside it, and acts where it is surely the cause.

Only a version of which a deploy is on record is compared: otherwise nobody can say which of two is the new one, and a
fix that is rolled out would be rolled back because the old version is bad. Slowness does not count while caches are
cold. Where the new version runs on several endpoints, most of them must be worse by themselves: one sick replica is no
version. Where it runs on one, the others must be two at least. After a version has reached all endpoints nothing runs
beside it; it is then held against the last good minutes before, which a common cause can spoil: people are told, and
nothing is done.
"""

from collections.abc import Iterator

from controlplane.decide import respond, rollback
from controlplane.decide.change import noted
from controlplane.decide.change.comparison import Comparison
from controlplane.decide.change.sequential import BAD_WINDOWS_MIN, THETAS, Stratum, increment, threshold, worse
from controlplane.decide.change.sequential import Evidence as Sums
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.model.change import Change, Changed, ChangeNoted, RegressionTold, VersionFound, VersionsCounted
from controlplane.model.command import Eject
from controlplane.model.record import EvidenceAdded
from controlplane.model.signal import Cause, Target
from controlplane.model.topology import Service
from controlplane.model.unit import SECOND

TEST_NS = 60 * SECOND  # then a new test begins: what was well for long must not hide what goes wrong now
COLD_NS = 60 * SECOND  # after a version's first calls slowness is that of cold caches
MEMBER_CALLS_MIN = 10
COMMON_SLOW = 0.1  # of the old version's calls in one window


def changed(draft: Draft, signal: Changed) -> None:
    """A change has become known."""
    if noted.known(draft.state, signal):
        return
    fields = {name: getattr(signal, name) for name in signal.__struct_fields__ if name != "at"}
    draft.record(ChangeNoted(at=draft.now, **fields))


def counted(draft: Draft, evidence: Evidence, signal: VersionsCounted) -> None:
    """One window of all endpoints of a service."""
    memory = evidence.comparisons
    service = draft.topology.service(signal.service)
    change = noted.deploy(draft.state, signal.service, draft.now)
    if service is None or change is None:
        memory.pop(signal.service, None)
        return
    runs = noted.versions(draft.state, service)
    held = memory.get(service.name)
    if held is None or held.change != change.id:
        before = held.before if held is not None else [0, 0]
        held = memory[service.name] = Comparison(change.id, change.version, draft.now, before=before)
    if draft.now - held.began_at >= TEST_NS:
        held.began_at, held.test = draft.now, held.test + 1
        held.last = (held.errors, held.slow)
        held.errors, held.slow, held.rows = Sums(), Sums(), {}
    rows = {name: (calls, failed, slow) for name, calls, failed, slow in signal.rows if name in runs and calls > 0}
    if held.first_at is None and any(runs[name] == change.version for name in rows):
        held.first_at = draft.now
    for name, row in rows.items():
        held.rows[name] = [a + b for a, b in zip(held.rows.get(name, [0, 0, 0]), row, strict=True)]
    if all(version == change.version for version in runs.values()):
        _promoted(draft, service, change, held, rows)
        return
    if not _waits(runs, change.version, rows):
        held.errors.add(list(_strata(service, runs, change.version, rows, 1)))
    if held.first_at is not None and draft.now - held.first_at >= COLD_NS:
        held.slow.add(list(_strata(service, runs, change.version, rows, 2)))
    _remember(held, runs, change.version, rows)
    for what, sums, column in ((Cause.ERRORS, held.errors, 1), (Cause.SLOW, held.slow, 2)):
        if sums.rejects(held.test) and _shared_by_members(held, runs, change.version, sums, column):
            _found(draft, evidence, service, change, runs, sums, what)
            return


def _strata(
    service: Service, runs: dict[str, str], new: str, rows: dict[str, tuple[int, int, int]], column: int
) -> Iterator[Stratum]:
    """Endpoints that are alike: of one zone and one priority."""
    groups: dict[tuple[str, int], list[int]] = {}
    for endpoint in service.endpoints:
        row = rows.get(endpoint.name)
        if row is None:
            continue
        counts = groups.setdefault((endpoint.zone, endpoint.priority), [0, 0, 0, 0])
        place = 0 if runs[endpoint.name] == new else 2
        counts[place] += row[0]
        counts[place + 1] += min(row[0], row[column])  # more may fail in a window than begin in it
    for counts in groups.values():
        yield Stratum(*counts)


def _waits(runs: dict[str, str], new: str, rows: dict[str, tuple[int, int, int]]) -> bool:
    """Whether the old version is slow itself: what both wait for runs out of time first where a cache is cold or a
    queue long, and that is no difference of versions."""
    old = [row for name, row in rows.items() if runs[name] != new]
    return sum(row[2] for row in old) > COMMON_SLOW * sum(row[0] for row in old)


def _remember(held: Comparison, runs: dict[str, str], new: str, rows: dict[str, tuple[int, int, int]]) -> None:
    """What the old version does while it runs; halved now and then, so that it is of lately."""
    for name, (calls, failed, _) in rows.items():
        if runs[name] != new:
            held.before[0] += calls
            held.before[1] += min(calls, failed)
    if held.before[0] > 20_000:
        held.before = [held.before[0] // 2, held.before[1] // 2]


def _shared_by_members(held: Comparison, runs: dict[str, str], new: str, sums: Sums, column: int) -> bool:
    """Whether it is the version and not one replica of it."""
    old = sums.old_bad / sums.old_calls
    mine = [row for name, row in held.rows.items() if runs[name] == new and row[0] >= MEMBER_CALLS_MIN]
    others = [row for name, row in held.rows.items() if runs[name] != new and row[0] >= MEMBER_CALLS_MIN]
    bad = sum(worse(row[column] / row[0], old) for row in mine)
    members = sum(version == new for version in runs.values())
    if members == 1:
        return bad == 1 and len(others) > 1  # one of two fails: nothing tells the version from the replica
    return bad >= 2 and 2 * bad > len(mine)


def _found(
    draft: Draft,
    evidence: Evidence,
    service: Service,
    change: Change,
    runs: dict[str, str],
    sums: Sums,
    what: Cause,
) -> None:
    withdrawn = draft.state.withdrawn.get(service.name)
    if withdrawn is not None and withdrawn.version == change.version:
        return
    others = tuple(sorted({version for version in runs.values() if version != change.version}))
    how = "failed" if what is Cause.ERRORS else "were slow"
    seen = (
        f"side by side {sums.new_bad} of {sums.new_calls} calls to version {change.version} {how}, "
        f"{sums.old_bad} of {sums.old_calls} to {', '.join(others)} in the same time"
    )
    target = Target(service.name)
    incident = respond.about(draft, service)
    added, members = seen, [name for name, version in runs.items() if version == change.version]
    if incident is None:
        added = f"version {change.version} runs on {', '.join(members)}"
        incident = respond.open_incident(
            draft, evidence, service.name, target, Cause.VERSION, draft.now, seen, by="versions"
        )
    elif incident.cause is Cause.VERSION and any(one.startswith("side by side") for one in incident.evidence):
        return
    draft.record(
        EvidenceAdded(
            at=draft.now,
            incident=incident.id,
            target=target,
            evidence=added,
            cause=Cause.VERSION,
            version=change.version,
        )
    )
    draft.record(
        VersionFound(
            at=draft.now,
            incident=incident.id,
            service=service.name,
            version=change.version,
            against=", ".join(others),
            evidence=seen,
        )
    )
    evidence.felt(incident, draft.now)
    for name in members:
        member = Target(service.name, name)
        evidence.tripped(member, draft.now)
        respond.contain(draft, evidence, incident, member, Eject(), seen, draft.now)
    if all(others):
        rollback.withdraw(draft, incident, service, change.version, others, seen)


def _promoted(
    draft: Draft, service: Service, change: Change, held: Comparison, rows: dict[str, tuple[int, int, int]]
) -> None:
    """Nothing runs beside it: against what ran before, as it was while it was last seen."""
    calls, failed = held.before
    if held.told or calls < MEMBER_CALLS_MIN * 10 or draft.state.open:
        return  # while something else is wrong, it explains what one would lay to the version
    after = held.after
    after.new_calls += sum(row[0] for row in rows.values())
    after.new_bad += sum(min(row[0], row[1]) for row in rows.values())
    after.bad_windows += any(row[1] for row in rows.values())
    after.nats = [increment(Stratum(after.new_calls, after.new_bad, calls, failed), theta) for theta in THETAS]
    sure = after.value >= threshold(held.test) and after.bad_windows >= BAD_WINDOWS_MIN
    if not sure or not worse(after.new_bad / max(1, after.new_calls), failed / calls):
        return
    held.told = True
    seen = (
        f"{after.new_bad} of {after.new_calls} calls failed since version {change.version} runs everywhere, "
        f"{failed} of {calls} while the version before ran"
    )
    draft.record(RegressionTold(at=draft.now, service=service.name, version=change.version, evidence=seen))
    text = f"{service.name} may have to be rolled back from version {change.version}, which nothing runs beside: {seen}"
    draft.notice(None, "warning", text, f"regression:{change.id}")
