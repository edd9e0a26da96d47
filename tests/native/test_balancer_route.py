"""Who may be drawn, and how often: the alias table against a slow model in fractions, exactly."""

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native.balancer import ENDPOINTS_MAX, WEIGHT_MAX, Balancer
from tests.native.route_oracle import Policy, Site, expected

PAGE = Path(__file__).parent.parent.parent / "docs" / "concepts" / "endpoint-choice.md"
COLUMN = 1 << 32
DEFAULT = Policy()
THREE_ZONES = [Site(locality=zone) for zone in (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2)]


def balancer(sites: list[Site], policy: Policy = DEFAULT, **kwargs: Any) -> Balancer:
    """One of these sites, each in its state."""
    made = Balancer([(site.weight, site.priority, site.locality) for site in sites], **policy._asdict(), **kwargs)
    for index, site in enumerate(sites):
        made.set_percent(index, site.percent)
        made.set_usable(index, site.usable)
    return made


def implied(made: Balancer) -> list[Fraction]:
    """Each index's odds, summed from the columns of the table."""
    table = made.table
    units = Counter[int]()
    for column, entry in enumerate(table):
        threshold, alias = (entry % (1 << 64)) >> 32, entry % COLUMN
        units[column] += threshold
        units[alias] += COLUMN - threshold
    assert sum(units.values()) == len(table) * COLUMN
    return [Fraction(units[index], len(table) * COLUMN) for index in range(len(table))]


def out(sites: list[Site], *indices: int) -> list[Site]:
    """These sites, some of them not usable."""
    return [site._replace(usable=site.usable and index not in indices) for index, site in enumerate(sites)]


sites_of_any_kind = st.lists(
    st.builds(
        Site,
        weight=st.one_of(st.integers(1, 5), st.integers(1, WEIGHT_MAX)),
        priority=st.sampled_from([0, 0, 0, 1, 1, 3]),
        locality=st.sampled_from([0, 0, 1, 2, 7]),
        percent=st.one_of(st.just(100), st.integers(0, 100)),
        usable=st.booleans(),
    ),
    min_size=1,
    max_size=24,
)
policies = st.builds(
    Policy,
    overprovision_percent=st.sampled_from([100, 140, 200, 1000]),
    panic_percent=st.sampled_from([0, 30, 50, 100]),
    local=st.sampled_from([None, 0, 1, 7, 200]),
    local_percent=st.sampled_from([0, 0, 1, 20, 50, 99, 100]),
    fail_over_percent=st.sampled_from([0, 0, 1, 30, 100]),
)


@given(sites_of_any_kind, policies)
@settings(max_examples=600, deadline=None)
def test_the_table_holds_the_shares_of_the_model(sites: list[Site], policy: Policy) -> None:
    """To 2^-30, for every endpoint; and who has no share is never drawn."""
    made, shares = balancer(sites, policy), expected(sites, policy)
    assert sum(shares) in (0, 1)
    if not any(shares):
        assert made.describe()["drawable"] == 0
        assert made.pick() == -1
        return
    odds = implied(made)
    assert max(abs(is_ - wanted) for is_, wanted in zip(odds, shares, strict=True)) < Fraction(1, 1 << 30)
    assert all(wanted for is_, wanted in zip(odds, shares, strict=True) if is_)
    assert made.describe()["drawable"] == sum(share > 0 for share in odds)
    assert all(shares[made.pick()] for _ in range(20))


def page_rows() -> list[list[str]]:
    """The table of two levels in the documentation: usable, usable, load, load, panic."""
    table = PAGE.read_text().split("<!-- compared", 1)[1].split("<!-- end", 1)[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")
    ]


@pytest.mark.parametrize("row", [row for row in page_rows() if row[0].isdigit()], ids=" ".join)
def test_levels_overflow_as_the_page_says(row: list[str]) -> None:
    """By health times 1.4: nothing down to 72 %, then as much as is lacking; and in panic where nobody can help."""
    usable, shares = [int(cell) for cell in row[:2]], [Fraction(cell.removesuffix(" %")) / 100 for cell in row[2:4]]
    made = balancer([Site(priority=level, usable=k < usable[level]) for level in (0, 1) for k in range(10)])
    assert made.describe()["load_permille"] == [round(1000 * share) for share in shares]
    assert made.describe()["panic"] == [int(level in row[4]) for level in "01"]
    assert abs(sum(implied(made)[:10]) - shares[0]) < Fraction(1, 2_000)


def test_the_page_has_its_table() -> None:
    """Eight rows are compared."""
    assert sum(row[0].isdigit() for row in page_rows()) == 8


def test_failover_is_weighed_not_binary() -> None:
    """A level whose endpoints are all offered half of their calls keeps 70 % of them."""
    made = balancer([Site(percent=50)] * 2 + [Site(priority=1)] * 2)
    assert [round(float(share), 6) for share in implied(made)] == [0.35, 0.35, 0.15, 0.15]


@pytest.mark.parametrize(
    ("percent", "standby", "moved"),
    [
        (30, [Site(priority=1)] * 4, 0.3),
        (100, [Site(priority=1)] * 4, 1.0),
        (100, [Site(priority=1)], 0.35),  # 1.4 times a quarter of the capacity: more would drown it
        (100, [Site(priority=1, weight=2), Site(priority=1, weight=2, usable=False)], 0.7),  # half of it is well
        (100, [Site(priority=1), Site(priority=2)], 0.7),  # what the next one has no room for goes on to the one after
        (100, [Site(priority=1, usable=False)], 0.0),
    ],
    ids=["part", "all", "small", "half well", "two levels", "down"],
)
def test_what_is_ordered_away_goes_as_far_as_there_is_room(percent: int, standby: list[Site], moved: float) -> None:
    """And what finds no room stays where it is served."""
    odds = implied(balancer([Site()] * 4 + standby, Policy(fail_over_percent=percent)))
    assert round(float(sum(odds[4:])), 6) == moved


def test_in_a_panic_nothing_is_ordered_away() -> None:
    """Where all levels together cannot bear the calls, each has what it can bear already, or more."""
    sites = [Site(priority=level, usable=k < 1) for level in (0, 1) for k in range(4)]
    assert implied(balancer(sites, Policy(fail_over_percent=100))) == implied(balancer(sites))


def test_too_few_left_are_not_overloaded() -> None:
    """Below half, with no other level to go to, all are used: the sick ones would else end the healthy."""
    some = [Site(usable=k < 2) for k in range(5)]
    assert all(abs(share - Fraction(1, 5)) < Fraction(1, 1 << 30) for share in implied(balancer(some)))
    assert balancer(some).describe()["panic"] == [1]
    assert balancer(some, Policy(panic_percent=40)).describe()["drawable"] == 2


def test_there_is_no_panic_while_another_level_can_help() -> None:
    """40 % of each of two levels bear 56 % each, together all of it: the sick ones are left alone."""
    made = balancer([Site(priority=level, usable=k < 4) for level in (0, 1) for k in range(10)])
    assert made.describe()["panic"] == [0, 0]
    assert not any(implied(made)[4:10] + implied(made)[14:])
    assert abs(sum(implied(made)[:4]) - Fraction(56, 100)) < Fraction(1, 1 << 30)


def test_the_own_zone_keeps_its_callers_as_long_as_it_can() -> None:
    """Three of four endpoints bear the zone's calls; two give 2/9 of them to the zones that have room."""
    policy = Policy(local=0)
    assert sum(implied(balancer(THREE_ZONES, policy))[:4]) == 1
    assert sum(implied(balancer(out(THREE_ZONES, 0), policy))[:4]) == 1
    odds = implied(balancer(out(THREE_ZONES, 0, 1), policy))
    assert [round(float(sum(odds[k : k + 4])), 6) for k in (0, 4, 8)] == [0.777778, 0.111111, 0.111111]
    odds = implied(balancer(out(THREE_ZONES, 0, 1, 4), policy))
    assert [round(float(sum(odds[k : k + 4])), 6) for k in (0, 4, 8)] == [0.777778, 0.111111, 0.111111]
    assert not any(implied(balancer(out(THREE_ZONES, 0, 1, 2, 3), policy))[:4])


@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=2, max_size=5).filter(
        lambda zones: any(zone[1] for zone in zones)
    )
)
@settings(max_examples=100, deadline=None)
def test_zones_together_load_every_capacity_alike(zones: list[tuple[int, bool]]) -> None:
    """If callers are spread equally and each prefers its own zone, each zone gets calls by what it can bear."""
    sites = [Site(size, locality=zone, usable=alive) for zone, (size, alive) in enumerate(zones)]
    neutral = Policy(panic_percent=0)
    received = Counter[int]()
    for home in range(len(zones)):
        for site, share in zip(sites, implied(balancer(sites, neutral._replace(local=home))), strict=True):
            received[site.locality] += share / len(zones)
    for site, share in zip(sites, expected(sites, neutral), strict=True):
        received[site.locality] -= share
    assert all(abs(difference) < Fraction(1, 1 << 28) for difference in received.values())


def test_a_ramp_of_all_says_nothing() -> None:
    """It moves load to siblings, and refuses none: where all stand at zero, all share."""
    assert implied(balancer([Site(percent=0), Site(percent=0)])) == [Fraction(1, 2)] * 2
    assert implied(balancer([Site(percent=0), Site(percent=0), Site(percent=100)])) == [0, 0, 1]
    assert balancer([Site(percent=0, usable=False)], Policy(panic_percent=0)).pick() == -1


def test_the_largest_tables_are_exact() -> None:
    """4,096 endpoints of the greatest and the least weight, on every level and in many zones."""
    sites = [Site(1 if k % 3 else WEIGHT_MAX, k % 2, k % 100, 1 + k % 100, k % 7 != 0) for k in range(ENDPOINTS_MAX)]
    policy = Policy(local=5, overprovision_percent=1000)
    shares = expected(sites[:600], policy)
    odds = implied(balancer(sites[:600], policy))
    assert max(abs(is_ - wanted) for is_, wanted in zip(odds, shares, strict=True)) < Fraction(1, 1 << 30)
    assert sum(implied(balancer(sites, policy))) == 1
    heaviest = [Site(WEIGHT_MAX)] * ENDPOINTS_MAX
    assert implied(balancer(heaviest)) == [Fraction(1, ENDPOINTS_MAX)] * ENDPOINTS_MAX


def test_picks_follow_the_table() -> None:
    """Among idle endpoints nothing but the table decides: a chi-square of 12,000 picks stays small."""
    sites = [Site(weight=1 + k % 4, priority=k // 6, usable=k % 6 > 1) for k in range(12)]
    made, shares = balancer(sites, seed=5), expected(sites, Policy())
    drawn = Counter[int]()
    for _ in range(12_000):
        endpoint = made.pick()
        drawn[endpoint] += 1
        made.cancelled(endpoint)
    assert set(drawn) == {index for index, share in enumerate(shares) if share}
    chi = sum(
        (drawn[k] - 12_000 * float(share)) ** 2 / (12_000 * float(share)) for k, share in enumerate(shares) if share
    )
    assert chi < 40  # 7 degrees of freedom: 1e-6
