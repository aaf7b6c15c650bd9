"""Runs that begin with trained networks: what is taken over, adapted, left, and kept as it is."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from composing import composed
from extent import some
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main
from gantool.config import Written
from gantool.runs.build import build_state, set_up
from gantool.runs.transfer import begin_from
from gantool.training.checkpoint import Checkpoints
from gantool.training.state import State
from runs import WIDTHS, newest, same, small, train, two_sides


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional run of one round, with a snapshot."""
    run = tmp_path_factory.mktemp("origin") / "run"
    train(run, "model.conditional=true", "model.discriminator.norm=batch", "trainer.seed=5", rounds=1)
    assert main(["export", f"run={run}", "format=snapshot"]) == 0
    return run


def fresh(*words: str) -> State:
    """A run before its first round."""
    cfg, hydra = composed("trainer.batch_size=8", "trainer.precision=fp32", "score=none", *words)
    return build_state(set_up(cfg, Written.of(hydra)), 100)


def fresh_dcgan(*words: str) -> State:
    return fresh("model=dcgan", "model.discriminator.norm=batch", *WIDTHS["dcgan"], "++model.latent.dim=8", *words)


def begun(origin: Path, state: State) -> list[str]:
    from gantool.config import Train

    return begin_from(str(origin), state, Train.model_validate(state.config)).splitlines()


def test_a_run_begins_with_the_networks_of_another(dcgan: Path, in_tmp: Path, capfd) -> None:
    before = newest(dcgan)
    words = [
        "model.conditional=true",
        "model.discriminator.norm=batch",
        f"init={dcgan}",
        "trainer.seed=6",
        "optimizer.lr=1e-12",
    ]
    after = train(in_tmp / "run", *words, "trainer.ema_half_life=1000kimg", rounds=2)
    told = capfd.readouterr().out
    assert "from the state at 0.008 kimg" in told and "  discriminator" in told and "; new:" not in told
    assert after["progress"]["nimg"] == 16
    for part in ("game", "ema"):
        for key, value in before[part].items():
            if not key.endswith(("._u", "._v")) and "running" not in key and value.is_floating_point():
                torch.testing.assert_close(after[part][key], value, rtol=0, atol=1e-6)
    again = ["train", f"resume={in_tmp / 'run'}"]
    assert main([*again, f"init={in_tmp}"]) == 1 and "init cannot change" in capfd.readouterr().err
    assert main([*again, "trainer.duration=3it"]) == 0 and newest(in_tmp / "run")["progress"]["rounds"] == 3


def test_other_channels_and_classes_are_adapted(dcgan: Path, shared_data: Path) -> None:
    old = newest(dcgan)
    cifar = [
        "dataset=cifar10",
        f"dataset.root={shared_data / 'cifar10'}",
        "loss=non-saturating",
        "model.conditional=true",
    ]
    state = fresh_dcgan(*cifar)
    lines = begun(dcgan, state)
    assert "adapted: layers.0.weight (1 to 3 channels)" in lines[2] or "layers.0.weight (1 to 3 ch" in lines[1]
    first = state.game.get_parameter("discriminator.layers.0.weight")
    was = old["game"]["discriminator.layers.0.weight"]
    torch.testing.assert_close(first.sum(1, keepdim=True), was, rtol=1e-5, atol=1e-7)
    generator = state.ema.generators["generator"].eval()
    with torch.no_grad():
        images = generator(torch.randn(2, 8), torch.tensor([0, 1]))
    assert images.shape == (2, 3, 32, 32) and float(images.var(1).max()) < 1e-10, "grey images in colour"


CASES = {
    "other classes": ["model.conditional=true", "classes"],
    "no classes": ["model.conditional=false", "generator"],
    "64 pixels": ["model.conditional=true dataset.resolution=64", "generator"],
    "another latent": ["model.conditional=true ++model.latent.dim=12", "latent"],
}


@pytest.mark.parametrize("case", some(CASES, 2))
def test_what_fits_is_taken_and_the_rest_is_told(dcgan: Path, case: str) -> None:
    words = CASES[case][0].split()
    state = fresh_dcgan(*words)
    untouched = {key: value.clone() for key, value in state.game.state_dict().items()}
    lines = begun(dcgan, state)
    changed = {key for key, value in state.game.state_dict().items() if not same(value, untouched[key])}
    for name, line in zip(state.game.networks(), lines[1:], strict=True):
        came, of = (int(line.split()[place].replace(",", "")) for place in (1, 3))
        weights = {key: p for key, p in state.game.networks()[name].named_parameters() if p.dim() > 1}
        moved = [key for key in weights if any(full.endswith(f"{name}.{key}") for full in changed)]
        assert moved and 0 < came <= of and (came == of) == ("; new:" not in line)
        assert set(moved) == set(weights) or "; new:" in line


SPECTRAL = {"dcgan": "none", "mlp": "layer", "resnet": "batch", "infogan": "instance", "cyclegan": "none"}


@pytest.mark.parametrize("model", some(SPECTRAL, 1))
def test_spectral_normalisation_comes_and_goes(model: str, tmp_path: Path) -> None:
    data = [f"dataset.root={two_sides(tmp_path / 'sides')}"] if model == "cyclegan" else ["++model.latent.dim=20"]
    data += [] if model in ("cyclegan", "resnet") else ["model.conditional=true"]

    def made(norm: str) -> State:
        norms = [f"++model.{part}.norm={norm}" for part in ("generator", "discriminator")]
        return fresh(f"model={model}", *WIDTHS[model], *data, *norms)

    def origin(norm: str) -> tuple[State, Path]:
        state = made(norm)
        for value in (*state.game.parameters(), *state.ema.generators.parameters()):
            value.data += 0.1 * torch.randn_like(value)
        return state, Checkpoints(tmp_path / norm).save(state.state_dict(), 0)

    spectral, path = origin("spectral")
    lines = begun(path, without := made(SPECTRAL[model]))
    assert sum("divided by their spectral norms" in line for line in lines) >= 2
    for before, after in zip(weights_of(spectral), weights_of(without), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-8)
    begun(path, again := made("spectral"))
    assert same(dict(again.game.state_dict()), dict(spectral.game.state_dict())), "the vectors too"

    plain, path = origin(SPECTRAL[model])
    lines = begun(path, normed := made("spectral"))
    assert sum("spectral norms recomputed" in line for line in lines) >= 2
    for before, layer in zip(weights_of(plain), layers_of(normed), strict=True):
        after = weight_of(layer)
        torch.testing.assert_close(after * before.norm() / after.norm(), before, rtol=1e-4, atol=1e-6)
        sizes = [torch.linalg.matrix_norm(after.movedim(dim, 0).flatten(1), 2) for dim in (0, 1)]
        assert not is_parametrized(layer) or min(abs(float(size) - 1) for size in sizes) < 0.03


def layers_of(state: State) -> list[nn.Module]:
    """Of the networks and of the averages, those with weights that could be normalised."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
    modules = [*state.game.eval().modules(), *state.ema.generators.eval().modules()]
    return [module for module in modules if isinstance(module, kinds)]


def weights_of(state: State) -> list[Tensor]:
    return [weight_of(layer) for layer in layers_of(state)]


def weight_of(layer: nn.Module) -> Tensor:
    """As it is used: normalised, where it is."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def test_a_snapshot_gives_its_generator(dcgan: Path) -> None:
    for origin in (dcgan / "exported", dcgan / "exported" / "snapshot.safetensors"):
        state = fresh_dcgan("model.conditional=true")
        lines = begun(origin, state)
        assert "a snapshot, which has no discriminator" in lines[0]
        saved = newest(dcgan)["ema"]
        assert same(dict(state.ema.generators.state_dict()), dict(saved))
        assert all(same(state.game.state_dict()[f"generators.{key}"], value) for key, value in saved.items())


@pytest.mark.parametrize("words", ["init=nowhere", "init=.", "init={run} model=mlp"])
def test_what_cannot_be_begun_from_is_told(dcgan: Path, in_tmp: Path, words: str, capfd) -> None:
    model = "mlp" if "mlp" in words else "dcgan"
    given = words.format(run=dcgan).split()[0]
    assert main([*small(in_tmp / "run", model=model), given]) == 1
    error = capfd.readouterr().err
    assert "error: init=" in error and error.count("\n") == 1 and not (in_tmp / "run" / ".hydra").exists()


FREEZES = {
    "dcgan": {"discriminator": ["layers.0.param", "layers.2.param"], "generator": ["layers.0.weight"]},
    "progan": {"discriminator": ["images.3.weight", "blocks.2.0.weight"], "generator": ["first.weight"]},
    "biggan": {"discriminator": ["blocks.0.first"], "generator": ["start."]},
    "cyclegan": {"a2b": ["down.1.weight"]},
}


def test_nothing_is_prepared_or_left_for_a_source_that_is_none(in_tmp: Path, monkeypatch, capfd) -> None:
    monkeypatch.setattr("gantool.runs.ready.prepare", lambda *words, **more: pytest.fail("it prepares images"))
    alone = small(in_tmp / "run")
    sweep = [word for word in alone if not word.startswith("hydra.run")]
    for words in (alone, [*sweep, "-m", "trainer.seed=1,2", f"hydra.sweep.dir={in_tmp / 'sweep'}"]):
        assert main([*words, "init=nowhere"]) == 1
        error = capfd.readouterr().err
        assert "init=nowhere" in error and error.count("\n") == 1 and not [*in_tmp.iterdir()]


@pytest.mark.parametrize("model", some(FREEZES, 1))
def test_first_blocks_keep_their_values(in_tmp: Path, model: str) -> None:
    more = {"progan": ["dataset.resolution=32"], "cyclegan": [f"dataset.root={two_sides(in_tmp / 'sides')}"]}
    more["biggan"] = ["++loss.constraint={_target_: gantool.regularizers.WeightClip, bound: 0.01}"]
    counts = ",".join(f"{name}: {len(keys)}" for name, keys in FREEZES[model].items())
    words = [f"trainer.freeze={{{counts}}}", "trainer.checkpoint_seconds=1e-9", *more.get(model, [])]
    after = train(in_tmp / "run", *words, model=model, rounds=2)
    latent = [] if model == "cyclegan" else ["++model.latent.dim=8"]
    state = fresh(f"model={model}", *WIDTHS[model], *latent, *more.get(model, []))
    kept = [name for name, value in state.game.named_parameters() if same(value.detach(), after["game"][name])]
    for name, keys in FREEZES[model].items():
        assert all(any(f"{name}.{key}" in one for one in kept) for key in keys), kept
    assert not any("head" in name for name in kept) and len(kept) < len(after["game"]) / 2


def test_an_embedding_of_labels_is_no_block(in_tmp: Path) -> None:
    words = ["model.conditional=true", "model.discriminator.condition=concat", "trainer.freeze={discriminator: 1}"]
    after = train(in_tmp / "run", *words, model="dcgan", rounds=2)["game"]
    before = fresh(
        "model=dcgan", *WIDTHS["dcgan"], "++model.latent.dim=8", *add_arguments(words)
    ).game.named_parameters()
    frozen = [name for name, value in before if same(value.detach(), after[name])]
    assert any("discriminator.layers.0" in name for name in frozen) and not any("layers.2" in name for name in frozen)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("trainer.freeze={discriminator: 9}", "trainer.freeze.discriminator=9: it has 4 blocks"),
        ("trainer.freeze.critic=1", "trainer.freeze.critic: no such network; there are discriminator, generator"),
    ],
)
def test_a_freeze_that_cannot_be_meant_is_told(in_tmp: Path, word: str, line: str, capfd) -> None:
    assert main([*small(in_tmp / "run"), word]) == 1
    error = capfd.readouterr().err
    assert line in error and error.count("\n") == 1
