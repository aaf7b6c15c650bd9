"""A class that was typed over the one of a group's choice: what the run calls it, and what it has of the choice."""

import re
from pathlib import Path

import pytest

from composing import composed
from gantool.config import Written, choices, drop_inherited, read, save_composed
from gantool.config.composed import load_composed
from gantool.errors import GantoolError
from gantool.runs.lines import inherited

OVER = ["model=mlp", "loss._target_=my_loss.Margin", "dataset._target_=my_data.Stripes", "augment._target_=my.Noise"]


def test_a_class_that_was_typed_over_a_choice_is_what_a_run_is_called_by(tmp_path: Path) -> None:
    """Its start, folder, table, card and page all ask here."""
    cfg, hydra = composed(*(f"++{word}" if "_target_" in word else word for word in OVER))
    assert str(hydra.run.dir).endswith("-mlp-my_data.Stripes")
    save_composed(cfg, tmp_path, hydra)
    told = choices(tmp_path)
    assert (told["loss"], told["dataset"], told["augment"]) == ("my_loss.Margin", "my_data.Stripes", "my.Noise")
    assert told["model"] == "mlp" and told["optimizer"] == "adam"


def test_a_class_that_was_typed_over_a_choice_is_told_what_it_has_of_that() -> None:
    words = ["loss._target_=gantool.losses.Hinge", "model.generator._target_=my_network.Generator"]
    words += ["optimizer._target_=torch.optim.SGD", "optimizer.lr=0.1", "model.discriminator.width=8"]
    cfg, hydra = composed("loss=wgan", *words)
    assert list(inherited(cfg, Written.of(hydra), hydra.runtime.choices)) == [
        "note: loss._target_ is yours; n_critic=5, constraint=gantool.regularizers.WeightClip came with loss=wgan, and "
        "the suggested values (recipe) are those of loss=wgan",
        "note: model.generator._target_ is yours; width=24, norm=instance, upsampling=transposed came with "
        "model=dcgan, and the suggested values (recipe) are those of model=dcgan",
        "note: optimizer._target_ is yours; betas=[0.0,0.9], eps=1e-08, weight_decay=0.0, fused=true came with "
        "optimizer=adam",
    ]
    cfg, hydra = composed("loss=hinge", "model=mlp", "optimizer.lr=0.1")
    assert list(inherited(cfg, Written.of(hydra), hydra.runtime.choices)) == []


def test_a_file_of_ones_own_is_looked_for_where_the_run_was_started(tmp_path: Path) -> None:
    cfg, hydra = composed("loss._target_=nowhere_loss.Margin")
    save_composed(cfg, tmp_path, hydra)
    began = re.escape(str(Path.cwd()))
    line = f"in the folder that holds nowhere_loss.py, or install it .this run was started in {began}"
    with pytest.raises(GantoolError, match=line):
        load_composed(tmp_path, trusted=True)


def test_keys_that_came_with_another_class_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The user wrote _target_: the file's other keys may be those of its own class, what the user wrote stays."""
    words = ["loss._target_=gantool.losses.Hinge", "model.generator._target_=gantool.networks.mlp.Generator"]
    with caplog.at_level("INFO"):
        cfg, hydra = composed(*words, "++model.generator.hidden=[16]", "+loss.labels=1")
        drop_inherited(cfg, Written.of(hydra))
    assert sorted(caplog.messages) == [
        "loss: gantool.losses.Hinge takes no real_label; left out",
        "model.generator: gantool.networks.mlp.Generator takes no width, upsampling; left out",
    ]
    assert cfg.model.generator == {"_target_": "gantool.networks.mlp.Generator", "hidden": [16], "norm": "instance"}
    assert "real_label" not in cfg.loss  # no parent of Hinge takes it
    with pytest.raises(
        GantoolError, match=r"^unknown key 'loss.labels': gantool.losses.Hinge takes only constraint, n_critic"
    ):
        read(cfg, Written.of(hydra))
    cfg, hydra = composed(words[0], "loss.real_label=0.9")
    drop_inherited(cfg, Written.of(hydra))
    assert cfg.loss.real_label == 0.9, "it is the user's, and a mistake"


@pytest.mark.parametrize(("arguments", "hint"), [("self, margin=1", True), ("self, margin=1, **settings", False)])
def test_how_to_keep_what_a_parent_takes_is_told(
    arguments: str, hint: bool, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"import gantool.losses\nclass Own(gantool.losses.Hinge):\n    def __init__({arguments}): pass\n"
    module = f"kept_{hint}"  # a module is imported once
    (in_tmp / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(in_tmp)
    with caplog.at_level("INFO"):
        cfg, hydra = composed(f"loss._target_={module}.Own")
        drop_inherited(cfg, Written.of(hydra))
    (line,) = caplog.messages
    left = "n_critic, top, regularizers, constraint"
    assert (f"; {left}: to keep what is its parent's, take **settings in its __init__ and hand them" in line) == hint
    assert ("n_critic" in cfg.loss) != hint and "real_label" in line
