"""gantool train --help and bench --help: every key says what it is, and each command what it does."""

import re
from itertools import zip_longest

import pytest

from extent import some
from gantool.cli.main import main
from runs import CONF, choices

pytestmark = pytest.mark.usefixtures("in_tmp")
LISTED = ("score", "monitor", "logger", "regularizer", "auxiliary")  # of which several can be chosen at once
BELOW = {"model/latent": "model=mlp", "model/generator": "model=cyclegan"}  # and a model that has it


def every_choice() -> list[list[str]]:
    """The words of a few commands that choose every part once; presets choose among them."""
    groups = [path.relative_to(CONF).as_posix() for path in sorted(CONF.rglob("*")) if path.is_dir()]
    apart = ("experiment", "hydra", "recipe", *LISTED)
    groups = [group for group in groups if group.split("/")[0] not in apart and group not in BELOW]
    rows = zip_longest(*([f"{group}={choice}" for choice in choices(group)] for group in groups))
    made = [[word for word in row if word] for row in rows]
    made += [[model, f"{group}={choice}"] for group, model in BELOW.items() for choice in choices(group)]
    parts = {group: set(choices(group)) - {"none", "cr", "information"} for group in LISTED}  # others bring these two
    return [[f"{group}=[{','.join(sorted(names))}]" for group, names in parts.items()], *made]


@pytest.mark.parametrize("words", some(every_choice(), 2), ids=" ".join)
def test_help_says_what_every_key_is(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *words, "--help"]) == 0
    keys = capsys.readouterr().out.partition("\nKeys ")[2].partition("\n\n")[0].splitlines()[1:]
    told = {key: text for key, text, *_ in ([*line.split(maxsplit=1), ""] for line in keys)}
    bare = [key for key, text in told.items() if text.startswith("[") and text != "[{}]"]
    assert len(told) > 60 and [key for key in bare if not key.endswith("_target_")] == []
    classes = " ".join(text for key, text in told.items() if key.endswith("_target_"))
    assert re.findall(r"\b(?:fitting|key|class_names|metrics)=", classes) == [], "gantool hands these in"


def test_help_of_bench_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--help"]) == 0
    out = capsys.readouterr().out
    top, _, rest = out.partition("Groups (")
    assert "plain PyTorch loop of the same networks; trains nothing, keeps no run.\n" in top
    assert "trainer.batch_size" in rest and out.endswith("gantool bench --hydra-help\n")
    footer = rest.rpartition("\n\n")[2]
    assert not re.search(r"sweep|study|resume=|-m\b", top + footer), "what it has no use for"
