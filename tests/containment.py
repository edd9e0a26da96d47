"""The example of docs/concepts/containment.md, with its figures made by the code: `test_concepts` compares them."""

import msgspec

from controlplane.decide.plan import edges
from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.harm import Spread
from controlplane.model.situation import Call, Replica, Situation

CALLS = (
    Call(caller="web", callee="orders", traffic=40.0),
    Call(caller="web", callee="search", traffic=30.0, soft=True),
    Call(caller="web", callee="hints", traffic=60.0, soft=True),
    Call(caller="app", callee="search", traffic=10.0),
    Call(caller="orders", callee="db", traffic=40.0, cuttable=False),
    Call(caller="search", callee="db", traffic=20.0),
    Call(caller="hints", callee="db", traffic=60.0),
)
SLOW_DB = Situation(
    origin="db",
    failing=0.6,
    slow=0.6,
    requests={"web": 100.0, "app": 10.0, "orders": 40.0, "search": 40.0, "hints": 60.0, "db": 120.0},
    calls=CALLS,
)
SLOW_ENDPOINT = msgspec.structs.replace(
    SLOW_DB,
    endpoints=("d1",),
    impact_s={"web": 12.0},
    replicas=(
        Replica(name="d1", load=75.0, capacity=80.0, failing=0.96),
        Replica(name="d2", load=45.0, capacity=80.0, failing=0.0),
        Replica(name="d3", load=0.0, capacity=30.0, failing=0.0, priority=1),
    ),
)


def cut() -> str:
    """Every call of the example with its price, and which of them the cheapest cut refuses."""
    spread = Spread(SLOW_DB, 0.6)
    worth = edges.worth_of(spread, spread.entries)
    refused = edges.cut_between(spread, spread.entries) or []
    rows = []
    for call in spread.calls:
        price = edges.price(spread, call, worth[call.caller])
        harmed, loss = spread.at_once[call.callee].lasting, call.fallback_cost if call.soft else 1
        cells = [f"{call.traffic:g}", f"{harmed:.2f}", f"{loss:g}", f"{worth[call.caller]:.3g}"]
        cells += ["never" if price is None else f"{price:.3g}", "refused" if call in refused else ""]
        rows.append(f"| {call.caller} → {call.callee} | {' | '.join(cells)} |")
    head = "| Call | $f$ requests/s | $x$ | $\\ell$ | $w$ | price | |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def options() -> str:
    """Every option of the example with its figures, and why the best one is chosen."""
    choice = choose(SLOW_ENDPOINT)
    assert choice.harm is not None
    rows = []
    for one in choice.considered:
        figures = [one.avoided, one.given_up, one.net]
        cells = ["" if figure is None else f"{figure:.1f}" for figure in figures]
        mark = "**" if one == choice.chosen else ""
        rows.append(
            f"| {mark}{one}{mark} | {' | '.join(cells)} | {f'`{one.forbidden}`: ' * bool(one.forbidden)}{one.why} |"
        )
    head = "| Option | avoided | given up | net | because |"
    harm = f"Harm if nothing is done: {choice.harm:.1f} requests/s."
    lost = f"The runner-up lost: {choice.why}."
    return "\n".join([harm, "", head, "|---|---|---|---|---|", *rows, "", lost])
