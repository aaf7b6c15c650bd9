"""What settings are called beside each other."""

import pytest

from gantool.sweeps.ranking import told_apart


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["lr=1.23456 study.trial=0", "lr=2 study.trial=1"], ["lr=1.235", "lr=2"]),
        (["lr=1.23451 study.trial=0", "lr=1.23452 study.trial=1"], ["lr=1.23451", "lr=1.23452"]),
        (["lr=2 study.trial=0", "lr=2 study.trial=1"], ["study.trial=0", "study.trial=1"]),
        (["lr=2 study.trial=0", "study.trial=1"], ["lr=2 study.trial=0", "study.trial=1"]),
        (["lr=2", ""], ["lr=2", ""]),
    ],
)
def test_the_number_of_a_trial_names_it_only_where_nothing_else_does(words: list[str], names: list[str]) -> None:
    assert told_apart([one.split() for one in words]) == names
