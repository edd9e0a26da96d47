"""Situations for the tests of the planner: one entry `web` that calls `orders`, unless a test says otherwise."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.neighbourhood import neighbourhood
from controlplane.model.plan import Choice, Option
from controlplane.model.situation import Call, Replica, Situation

WEB = Call(caller="web", callee="orders", traffic=100.0)


def replica(name: str, load: float | None, capacity: float | None, failing: float | None, **more: Any) -> Replica:
    return Replica(name=name, load=load, capacity=capacity, failing=failing, **more)


def situation(*replicas: Replica, **more: Any) -> Situation:
    requests: dict[str, float | None] = {"web": 100.0, "orders": 100.0}
    given: dict[str, Any] = {"origin": "orders", "requests": requests, "calls": (WEB,), "entries": ("web",)}
    return Situation(**(given | {"replicas": replicas} | more))


def chain(failing: float, **more: Any) -> Situation:
    """web -> orders -> db, of which db fails; 40 of 100 requests of web need orders."""
    calls = (Call(caller="web", callee="orders", traffic=40.0), Call(caller="orders", callee="db", traffic=40.0))
    requests: dict[str, float | None] = {"web": 100.0, "orders": 40.0, "db": 40.0}
    given: dict[str, Any] = {"origin": "db", "failing": failing, "requests": requests, "calls": calls}
    return Situation(**(given | {"entries": ("web",)} | more))


def option(choice: Choice, *does: str) -> Option:
    """The one option of `choice` that does exactly this."""
    found = [one for one in choice.considered if [act.do for act in one.acts] == list(does)]
    assert len(found) == 1, [str(one) for one in choice.considered]
    return found[0]


def does(choice: Choice) -> list[str]:
    """What was chosen, by its verbs."""
    return [] if choice.chosen is None else [act.do for act in choice.chosen.acts]


GRAPH = ("origin", "traffic", "requests", "entries", "soft", "blast", "impact_s", "callers")


def plan_for(names: Sequence[str], indptr: np.ndarray, indices: np.ndarray, **more: Any) -> Choice:  # type: ignore[type-arg]
    """The choice for a failure in a whole call graph; what the graph does not know is put into the situation."""
    near = neighbourhood(names, indptr, indices, **{key: more.pop(key) for key in GRAPH if key in more})
    figures = {key: None if isinstance(figure, float) and np.isnan(figure) else figure for key, figure in more.items()}
    return choose(msgspec.structs.replace(near, **figures))
