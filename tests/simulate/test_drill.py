"""A playbook rehearsed in virtual time: it passes or fails for what was seen, and is the same each time."""

from pathlib import Path

import msgspec
import pytest

from controlplane.config import load_config
from controlplane.model.config import Config
from controlplane.model.playbook import Match, Playbook, Precondition, Step
from controlplane.model.signal import Cause
from controlplane.simulate.drill.run import Rehearsal, rehearse
from controlplane.simulate.drill.world import scenario_of

CONFIG_TESTS = Path(__file__).parents[1] / "config"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The shop of the configuration tests, with its good playbooks."""
    file = tmp_path_factory.mktemp("shop") / "controlplane.toml"
    parts = [(CONFIG_TESTS / name).read_text() for name in ("shop.toml", "good.toml")]
    file.write_text("\n".join(parts))
    return load_config(file)


def drilled(shop: Config, playbook: Playbook) -> Rehearsal:
    return rehearse(playbook, msgspec.structs.replace(shop, playbooks=(playbook,)))


@pytest.mark.parametrize("name", ["zone-b-out", "bad-release", "payments-down"])
def test_a_good_playbook_passes(shop: Config, name: str) -> None:
    """It fits, its steps are taken, and users are better off than with nobody acting."""
    found = rehearse(next(one for one in shop.playbooks if one.name == name), shop)
    assert found.failed == ()
    assert found.contained_s is not None
    assert 0 < found.contained_s < 5
    assert found.with_it.requests == found.without.requests == found.unattended.requests > 1_000
    assert found.with_it.harmed <= found.unattended.harmed
    assert any(f"playbook {name} fits and is used" in line.text for line in found.timeline)


def test_the_same_configuration_is_the_same_drill(shop: Config) -> None:
    """Byte for byte, timeline included."""
    one = shop.playbooks[0]
    assert msgspec.json.encode(rehearse(one, shop)) == msgspec.json.encode(rehearse(one, shop))


def test_nobody_acting_is_worse_or_the_world_is_no_world(shop: Config) -> None:
    """What goes wrong hurts users, or a drill would pass by hurting nobody."""
    found = rehearse(shop.playbooks[0], shop)
    assert found.unattended.harmed > 20 * max(1, found.with_it.harmed)


def test_a_step_that_a_rule_refuses_fails_the_drill(shop: Config) -> None:
    """With the rule and its numbers."""
    one = Playbook(
        name="too-much",
        match=Match(service="orders", endpoint="orders-1"),
        steps=(Step(do="fail_over", percent=100),),
    )
    found = drilled(shop, one)
    assert any("step 1 (fail over 100 % of orders) was refused: destination_capacity" in why for why in found.failed)


def test_a_precondition_that_does_not_hold_fails_the_drill(shop: Config) -> None:
    """It says which one."""
    one = Playbook(
        name="hungry",
        match=Match(service="orders", endpoint="orders-1"),
        preconditions=(Precondition(need="capacity", per_s=300),),
        steps=(Step(do="tell", text="x"),),
    )
    found = drilled(shop, one)
    assert "it was not used: precondition 1 (capacity)" in found.failed[0]


def test_a_playbook_that_harms_users_fails_the_drill(shop: Config) -> None:
    """It isolates what nobody can do without, for one bad replica: contained, and worse than without it."""
    one = Playbook(
        name="axe",
        match=Match(service="orders", endpoint="orders-1"),
        steps=(Step(do="isolate"),),
    )
    found = drilled(shop, one)
    assert any("users were worse off" in why for why in found.failed)
    assert found.with_it.harmed > found.without.harmed


def test_a_playbook_that_never_fits_fails_the_drill(shop: Config) -> None:
    """Its cause is one that the failure does not have."""
    one = Playbook(
        name="deaf",
        match=Match(service="orders", endpoint="orders-1", cause=(Cause.UNREACHABLE,)),
        steps=(Step(do="tell", text="x"),),
    )
    assert "it never fitted" in drilled(shop, one).failed[0]


def test_what_cannot_be_made_to_fail_is_said(shop: Config) -> None:
    """Alerts of others have nobody to raise them; a service that is not there cannot fail."""
    alert = Playbook(name="a", match=Match(service="orders", cause=(Cause.ALERT,)), steps=(Step(do="tell", text="x"),))
    with pytest.raises(ValueError, match="alert"):
        scenario_of(alert, shop)
    gone = Playbook(name="g", match=Match(service="gone"), steps=(Step(do="tell", text="x"),))
    with pytest.raises(ValueError, match="not a declared service"):
        scenario_of(gone, shop)
