"""Suggested values arrive: those for a model and a loss together, and the order of all who may say one."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from composing import composed
from runs import CONF, choices

RECIPES = sorted(str(path.relative_to(CONF / "recipe"))[:-5] for path in (CONF / "recipe").rglob("*.yaml"))
RUNGS = ["loss/mine", "dataset/mine", "model/mine", "recipe/mine_mine", "recipe/dataset/mine_mine_mine"]
RUNGS += ["experiment/mine", "typed"]  # README's order


@pytest.mark.parametrize("name", RECIPES)
def test_a_data_set_a_model_and_a_loss_find_their_file(name: str) -> None:
    """Hydra passes over one that it does not find, without a word."""
    *dataset, model, loss = name.removeprefix("dataset/").split("_")
    assert model in choices("model") and loss in choices("loss") and set(dataset) <= set(choices("dataset"))
    assert name.startswith("dataset/") == bool(dataset)
    values = OmegaConf.to_container(OmegaConf.load(CONF / "recipe" / f"{name}.yaml"))
    assert isinstance(values, dict) and values
    words = [f"model={model}", f"loss={loss}", *(f"dataset={name}" for name in dataset)]
    recipe = OmegaConf.to_container(composed(*words)[0].recipe)
    assert isinstance(recipe, dict) and {key: recipe[key] for key in values} == values


@pytest.mark.parametrize("rung", RUNGS)
def test_a_later_one_stands_over_those_before(rung: str, tmp_path: Path) -> None:
    """Files of one's own, of which this one and those before it suggest a rate."""
    for number, name in enumerate(RUNGS[:-1]):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir()
        suggested = f"recipe: {{lr: {number}}}\n" if number <= RUNGS.index(rung) else "{}\n"
        path.write_text(f"# @package _global_\n{suggested}")
    words = [f"{group}=mine" for group in ("loss", "dataset", "model", "experiment")]
    words += [f"recipe.lr={RUNGS.index(rung)}"] if rung == "typed" else []
    cfg, _ = composed(f"hydra.searchpath=[file://{tmp_path}]", *words)
    assert cfg.recipe.lr == RUNGS.index(rung)


@pytest.mark.parametrize("loss", choices("loss"))
def test_sgd_has_a_rate_of_its_own_that_goes_by_loss_and_model(loss: str) -> None:
    assert composed(f"loss={loss}", "model=mlp", "optimizer=sgd")[0].optimizer.lr == 2e-2
    cfg = composed(f"loss={loss}", "optimizer=sgd")[0]
    assert cfg.optimizer.lr == {"wgan": 2e-2, "wgan-gp": 2e-3}.get(loss, 5e-3)
    assert cfg.optimizer.lr == cfg.optimizer.generator.lr == cfg.optimizer.discriminator.lr


@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_the_discriminators_rate_follows_the_optimizers(optimizer: str) -> None:
    """A typed rate is both players', in the recipe's proportion; one of the discriminator's own stands as it is."""
    words = ["recipe.discriminator_rate=0.35", f"optimizer={optimizer}"]
    typed = composed(*words, "optimizer.lr=1e-3")[0]
    assert (typed.optimizer.generator.lr, typed.optimizer.discriminator.lr) == (1e-3, 3.5e-4)
    assert composed("dataset=celeba", *words[1:], "optimizer.lr=1e-3")[0].optimizer.discriminator.lr == 3.5e-4
    assert composed(*words, "optimizer.discriminator.lr=1e-4")[0].optimizer.discriminator.lr == 1e-4
    assert composed(f"optimizer={optimizer}", "optimizer.lr=1e-3")[0].optimizer.discriminator.lr == 1e-3
