"""A part with a state of its own can neither come nor go when a run goes on, which one line says."""

from pathlib import Path

import pytest

from composing import composed
from extent import ALL
from gantool.cli.main import main
from gantool.config import Written, save_composed
from gantool.errors import GantoolError
from gantool.runs.build import build_state, set_up
from gantool.runs.resuming import check_changes
from gantool.training.sound import Unsound
from runs import WIDTHS, choices, newest, small, train

LECAM = "{_target_: gantool.consistency.LeCam}"
PARTS = [f"regularizer={name}" for name in choices("regularizer")] if ALL else ["regularizer=lecam", "regularizer=cr"]
PARTS += [
    "regularizer=[lecam,l2]",
    f"++loss.regularizers={{mine: {LECAM}}}",
    "augment=ada",
    "auxiliary=feature-matching",
]
PARTS += [f"loss={name}" for name in choices("loss")] if ALL else ["loss=r3gan"]


@pytest.mark.parametrize("words", PARTS)
def test_a_part_with_a_state_neither_comes_nor_goes(words: str, in_tmp: Path) -> None:
    plain = ["model=mlp", *WIDTHS["mlp"], "score=none", "monitor=none", "trainer.device=cpu"]
    setups = []
    for more in ([], [words]):
        cfg, hydra = composed(*plain, *more)
        setups.append((set_up(cfg, Written()), hydra))
    for place, ((before, hydra), (now, _)) in enumerate((setups, setups[::-1])):
        run = in_tmp / str(place)
        save_composed(before.cfg, run, hydra)
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "some.pt").touch()
        old, new = build_state(before, 5000), build_state(now, 5000)
        told = ""
        try:
            check_changes(now.cfg, run)
            new.check(old.state_dict())
        except GantoolError as error:
            assert not isinstance(error, Unsound), "it is sound"
            told = str(error)
        assert told or old.game.state_dict().keys() == new.game.state_dict().keys()
        assert "\n" not in told and (not told or words.partition("=")[0].lstrip("+") in told), told


def test_what_is_told_of_it(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = in_tmp / "run"
    train(run, "regularizer=lecam", model="mlp", rounds=2)
    for words in ([], ["regularizer=[lecam,l2]"]):
        capfd.readouterr()
        assert main(small(run, *words, model="mlp", rounds=4)) == (0 if words else 1)
        error = capfd.readouterr().err
        line = "it was trained with regularizer.lecam, which has a state of its own and can neither come nor go: bring"
        assert words or (line in error and error.count("\n") == 1), error
    assert newest(run)["progress"]["rounds"] == 4
