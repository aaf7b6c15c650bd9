"""gantool.train takes the words of the command line."""

from pathlib import Path

import pytest

import gantool
from gantool.config.composed import settings
from gantool.errors import GantoolError
from runs import small

WORDS = {
    "model.generator.attention=16": 16,
    "optimizer.generator.betas=[0.5,0.9]": [0.5, 0.9],
    "trainer.freeze.discriminator=1": 1,
    "trainer.target.fd_digits=2": 2,
}


def test_words_that_no_yaml_file_names(in_tmp: Path) -> None:
    words = small(
        in_tmp / "a run, (1)", *WORDS, "score=[fd]", "monitor=scores", "monitor.scores.num=20", model="dcgan", rounds=1
    )[1:]
    run = gantool.train(words)
    assert run.nimg == 8
    found = settings(in_tmp / "a run, (1)")
    assert {word: found[word.partition("=")[0]] for word in WORDS} == WORDS


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("resume=run", "hydra.run.dir=FOLDER goes on"),
        ("trainer=3", "trainer is a group"),
        ("dataset.root=", "dataset.root= has no value"),
        ("model.generator.attentoin=16", "attentoin"),
    ],
)
def test_words_that_are_wrong_are_one_line(in_tmp: Path, word: str, line: str) -> None:
    with pytest.raises(GantoolError, match=line) as told:
        gantool.train([*small(in_tmp / "run", model="dcgan", rounds=1)[1:], word])
    assert "\n" not in str(told.value)
