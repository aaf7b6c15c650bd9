"""Which runs are seeds of one setting, and what is said of two states of one run."""

from dataclasses import replace

import pytest

from gantool.sweeps.ranking import ranking
from gantool.sweeps.results import Result
from test_ranking import result, seeds


def ended(one: Result, nimg: int) -> Result:
    return replace(one, nimg=nimg)


def test_seeds_that_ended_at_different_points_are_one_group() -> None:
    """By trainer.stop, or as the best of each."""
    runs = [
        ended(one, 70_000 - 5000 * place) for place, one in enumerate(seeds(hinge=[1.5, 1.2, 1.9], wgan=[7.0, 8.0]))
    ]
    found = ranking(runs, "fd")
    assert [(group.name, group.num, str(group.scores["fd"])) for group in found.groups] == [
        ("loss=hinge", 3, "1.53 ± 0.35"),
        ("loss=wgan", 2, "7.50 ± 0.71"),
    ]


def test_checkpoints_of_the_same_runs_are_groups_by_their_point() -> None:
    points = [ended(one, nimg) for nimg in (8, 16) for one in seeds(hinge=[1.5 - nimg / 100, 1.2 - nimg / 100])]
    groups = ranking(points, "fd").groups
    assert [(group.num, group.scores["fd"].value) for group in groups] == [
        (2, pytest.approx(1.19)),
        (2, pytest.approx(1.27)),
    ]


def test_two_states_of_a_run_need_no_more_seeds() -> None:
    runs = [ended(result("x", value, settings="x", seed=5), nimg) for value, nimg in ((1.0, 8), (3.0, 16))]
    (line,) = ranking(runs, "fd").compared()
    assert "beyond the spread of images" in line and "seeds" not in line
    (line,) = ranking([runs[0], ended(result("y", 3.0, settings="y", seed=5), 8)], "fd").compared()
    assert "seeds may differ by more" in line


def test_a_seed_that_has_not_ended_is_no_member_of_the_others() -> None:
    runs = [ended(one, nimg) for one, nimg in zip(seeds(hinge=[1.5, 1.2, 9.0]), (70_000, 70_000, 2000), strict=True)]
    for state in ("stopped", "running elsewhere"):
        groups = ranking([*runs[:2], replace(runs[2], state=state)], "fd").groups
        assert [(group.num, group.scores["fd"].value) for group in groups] == [
            (2, pytest.approx(1.35)),
            (1, pytest.approx(9.0)),
        ]
