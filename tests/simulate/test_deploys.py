"""Deploys in simulation, with the production engine and guards: the quick form of `python -m bench.deploys`."""

import pytest

from controlplane.simulate.deploys import NOISES, run


@pytest.mark.parametrize("noise", NOISES)
def test_a_healthy_version_is_never_rolled_back(noise: str) -> None:
    """Four deploys under each noise: cold caches, pauses, spikes and failures that hit both versions alike."""
    for seed in range(4):
        deploy = run(seed, noise=noise)
        assert deploy.calls > 3000, "the world stood still"
        assert (deploy.found_s, deploy.rolled_back_s) == (None, None), deploy


def test_a_bad_version_is_rolled_back() -> None:
    """Of the seeds whose new version runs on several endpoints or beside two others, every one that fails a third."""
    found = [run(seed, noise="none", bad=0.3) for seed in range(6)]
    assert sum(one.rolled_back_s is not None and one.rolled_back_s <= 10 for one in found) >= 5, found


def test_a_version_that_fails_one_call_in_ten_is_found_side_by_side() -> None:
    """Too few failures for all its endpoints to trip, or for any."""
    found = [run(seed, noise="none", bad=0.1) for seed in range(6)]
    assert sum(one.rolled_back_s is not None for one in found) >= 5, found


def test_the_same_seed_is_the_same_deploy() -> None:
    """Nothing in it depends on the machine."""
    assert run(11, bad=0.1) == run(11, bad=0.1)
