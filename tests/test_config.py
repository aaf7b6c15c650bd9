"""What may stand in a configuration, and how mistakes are worded."""

from itertools import zip_longest
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from composing import composed, typed
from extent import some
from gantool.config import Written, changes, choices, read, save_composed
from gantool.config.composed import load_composed
from gantool.config.messages import NAMED
from gantool.config.resolvers import file_name
from gantool.errors import GantoolError
from runs import CONF, TRANSLATORS


def mistakes(*overrides: str) -> list[str]:
    """The lines that there are to say about these overrides."""
    try:
        typed(*overrides)
    except GantoolError as error:
        return str(error).splitlines()
    return []


def named(group: str) -> list[str]:
    """group=choice for every choice of a group."""
    return [f"{group}={path.stem}" for path in sorted((CONF / group).glob("*.yaml"))]


# One choice of every group at a time, each choice once; features alone, as with score=none they are refused.
# test_presets has the groups of every preset.
PARTS = [str(path.relative_to(CONF)) for path in sorted(CONF.rglob("*")) if path.is_dir()]
PARTS = [group for group in PARTS if group.split("/")[0] not in ("experiment", "features", "hydra", "model")]
CHOICES = [[word for word in row if word] for row in zip_longest(*map(named, PARTS))]
SINGLE = [[word] for word in [*named("features"), *named("model"), *named("model/latent")]]
SINGLE += [[f"model={model}", word] for model in TRANSLATORS for word in named("model/generator")]


@pytest.mark.parametrize("words", [*CHOICES, *some(SINGLE, 8)], ids=" ".join)
def test_every_choice_is_sound(words: list[str]) -> None:
    assert mistakes(*words) == []


def test_no_choice_was_left_out() -> None:
    chosen = {word for words in [*CHOICES, *SINGLE] for word in words}
    files = [path.relative_to(CONF) for path in CONF.rglob("*/*.yaml")]
    there = {f"{path.parent}={path.stem}" for path in files if path.parts[0] not in ("experiment", "hydra")}
    assert there == chosen


MISTAKES = [
    ("trainer.batch_size=0", "trainer.batch_size=0: should be greater than 0"),
    ("trainer.batch_size=abc", "trainer.batch_size=abc: should be a valid integer"),
    ("trainer.batch_size=true", "trainer.batch_size=true: should be a valid integer"),
    ("trainer.batch_size=1.5", "trainer.batch_size=1.5: should be a valid integer"),
    ("trainer.batch_size=null", "trainer.batch_size=null: should be a valid integer"),
    ("trainer.microbatch=0", "trainer.microbatch=0: should be greater than 0"),
    ("trainer.precision=fp8", "trainer.precision=fp8: should be 'auto', 'fp32', 'bf16' or 'fp16'"),
    ("trainer.device=gpu", "trainer.device=gpu: should be auto, cpu, cuda, cuda:N or mps"),
    ("trainer.compile=yes", "trainer.compile=yes: should be false, true or 'graphs'"),
    ("trainer.seed=-1", "trainer.seed=-1: should be greater than or equal to 0"),
    (
        "trainer.duration=300",
        "trainer.duration=300: should be a positive number and a unit, such as 150kimg, 20ep or 5000it",
    ),
    ("optimizer.lr=-1", "optimizer.lr=-1: should be greater than 0"),
    ("recipe.discriminator_rate=0", "recipe.discriminator_rate=0: should be greater than 0"),
    ("optimizer.lr=nan", "optimizer.lr=nan: should be a finite number"),
    ("optimizer.generator.lr=0", "optimizer.generator.lr=0: should be greater than 0"),
    ("optimizer.betas=[0.5]", "optimizer.betas=[0.5]: should have at least 2 items, not 1"),
    ("optimizer.betas=[0.5,1]", "optimizer.betas.1=1: should be less than 1"),
    ("optimizer.beta2=1", "optimizer.beta2=1: should be less than 1"),
    ("optimizer.beta2={start:1}", "optimizer.beta2={start:1}: should be a valid number"),
    (
        "trainer.ema_half_life=soon",
        "trainer.ema_half_life=soon: should be a positive number and a unit, such as 150kimg, 20ep or 5000it",
    ),
    ("optimizer.clip_norm=0", "optimizer.clip_norm=0: should be greater than 0"),
    ("optimizer.generator=3", "optimizer.generator=3: should be a group of keys, not a value"),
    *(
        (f"{key}='{value}'", f"{key}={value}: should be a positive number and a unit, such as 150kimg, 20ep or 5000it")
        for key, value in {
            "trainer.duration": "0kimg",
            "trainer.log_every": "-5ep",
            "trainer.watchdog.every": "kimg",
            "optimizer.warmup": "5",
            "monitor.scores.every": "5 hours",
        }.items()
    ),
    ("loss.n_critic=0", "loss.n_critic=0: should be greater than 0"),
    ("model.latent.dim=0", "model.latent.dim=0: should be greater than 0"),
    ("model.conditional=yes", "model.conditional=yes: should be true or false"),
    ("dataset.flip=maybe", "dataset.flip=maybe: should be true or false"),
    ("score.fd=null", "score.fd=null: leave a part out by choosing the others: score=[is]"),
    (
        "monitor.samples=null",
        "monitor.samples=null: leave a part out by choosing the others: monitor=[histograms,scores,labels,codes]",
    ),
    ("dataset.on_bad_image=ignore", "dataset.on_bad_image=ignore: should be 'stop' or 'skip'"),
    ("dataset.device_resident=maybe", "dataset.device_resident=maybe: should be 'auto', true or false"),
    ("+foo=1", "unknown key 'foo'"),
    ("+trainer.batchsize=1", "unknown key 'trainer.batchsize' (did you mean 'batch_size'?)"),
    ("~trainer.seed", "trainer.seed is missing"),
    ("model.generator.width=wide", "model.generator.width=wide: should be a valid integer"),
    (
        "+optimizer.generator.lrr=1",
        "unknown key 'optimizer.generator.lrr' (did you mean 'lr'?): torch.optim.Adam takes no such argument",
    ),
    (
        "+optimizer.discriminator.rate=1",
        "unknown key 'optimizer.discriminator.rate': torch.optim.Adam takes no such argument",
    ),
    (
        "+model.discriminator.widht=3",
        "unknown key 'model.discriminator.widht' (did you mean 'width'?): "
        "gantool.networks.dcgan.Discriminator takes no such argument",
    ),
    (
        "+model.generator.latent_dim=50",
        "model.generator.latent_dim is set by gantool: use model.latent.dim",
    ),
    ("+model.loss=3", "model.loss is set by gantool: use loss="),
    (
        "recipe.weight_clip=0.1",
        "recipe.weight_clip has no effect, as no chosen part reads it: set the key that it is for, or leave it out",
    ),
    (
        "+recipe.dropuot=0.1",
        "recipe.dropuot has no effect (did you mean 'dropout'?), as no chosen part reads it: set the key that it is "
        "for, or leave it out",
    ),
    (
        "+loss.label=0.9",
        "unknown key 'loss.label' (did you mean 'real_label'?): gantool.losses.NonSaturating takes no such argument",
    ),
]
ALONE = [  # nothing more can be read
    ("trainer.seed=???", "trainer.seed: Missing mandatory value: seed"),
    ("trainer.seed=${nothing}", "trainer.seed: Interpolation key 'nothing' not found"),
]


def together(cases: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The cases in as few lists as their keys allow: all mistakes are told at once."""
    lists: list[dict[str, tuple[str, str]]] = []
    for case in cases:
        key = case[0].lstrip("+~").partition("=")[0] + "."
        free = (found for found in lists if not any(k.startswith(key) or key.startswith(k) for k in found))
        found = next(free, None)
        if found is None:
            lists.append(found := {})
        found[key] = case
    return [list(found.values()) for found in lists]


@pytest.mark.parametrize("cases", [*together(MISTAKES), *([case] for case in ALONE)])
def test_a_mistake_is_one_line_and_all_are_told_at_once(cases: list[tuple[str, str]]) -> None:
    assert sorted(mistakes(*(override for override, _ in cases))) == sorted(line for _, line in cases)


def test_a_group_of_parts_is_not_null() -> None:
    """As a user's YAML may say."""
    cfg, hydra = composed()
    for group in NAMED:
        cfg[group] = None
    with pytest.raises(GantoolError) as told:
        read(cfg, Written.of(hydra))
    lines = sorted(str(told.value).splitlines())
    for group, line in zip(sorted(NAMED), lines, strict=True):
        fix = (
            f"in YAML write defaults: [override /{group}: none]"
            if (CONF / group / "none.yaml").exists()
            else "leave the key out"
        )
        assert line == f"{group}=null: should be a group of keys, not a value; {fix}"


def test_an_unknown_target_names_what_is_near() -> None:
    (line,) = mistakes("model.generator._target_=gantool.networks.dcgan.Generatr")
    assert line.startswith("model.generator._target_=gantool.networks.dcgan.Generatr cannot be used (did you mean 'Gen")
    (line,) = mistakes("model.generator._target_=nothing.at.all")
    assert "No module named 'nothing'" in line


def test_an_own_key_is_allowed_where_it_is_read() -> None:
    words = ["+recipe.decay=0.1", "optimizer.weight_decay=${recipe.decay}"]
    assert typed(*words).optimizer.of("generator")["weight_decay"] == 0.1
    assert mistakes("+optimizer.decay=0.1", "optimizer.weight_decay=${optimizer.decay}") == [
        "unknown key 'optimizer.decay': torch.optim.Adam takes no such argument"
    ]


def test_what_is_read_is_resolved_and_typed() -> None:
    config = typed("optimizer.lr=0.5", "regularizer=[r1,l2]", "+optimizer.generator.eps=0.1", "optimizer.beta2=0.9")
    generator, discriminator = (config.optimizer.of(player) for player in ("generator", "discriminator"))
    assert generator["lr"] == discriminator["lr"] == 0.5 and generator["_target_"] == "torch.optim.Adam"
    assert (generator["eps"], discriminator["eps"]) == (0.1, 1e-8) and "beta2" not in generator
    assert list(config.regularizer) == ["r1", "l2"]
    common = {"n_critic": 1, "top": None, "regularizers": {}, "constraint": None}
    assert config.loss.node == {"_target_": "gantool.losses.NonSaturating", "real_label": 1.0, **common}
    assert config.model.latent is not None and config.model.latent.dim == 8


def test_what_the_user_wrote_is_known(tmp_path: Path) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "own.yaml").write_text("defaults: [hinge, _self_]\nmine: {a: 1, b: {c: 2}}\nother: {}\n")
    (tmp_path / "loss" / "unused.yaml").write_text("unused: 1\n")
    sources = [
        {"provider": "main", "schema": "file", "path": str(CONF)},
        {"provider": "command-line", "schema": "file", "path": str(tmp_path)},
    ]
    hydra = OmegaConf.create(
        {
            "overrides": {"task": ["++model.latent={dim: 8}", "~score", "loss=own", "optimizer.lr=${nothing}"]},
            "runtime": {"config_sources": sources, "choices": {"loss": "own"}},
        }
    )
    written = Written.of(hydra)
    assert written.typed == {"model.latent", "loss", "optimizer.lr"}
    assert written.in_files == {"loss.mine.a", "loss.mine.b.c", "loss.other"}
    assert written.has("model.latent.dim") and written.has("loss.other.deep") and not written.has("loss.mine")


def test_the_composed_configuration_is_saved_and_compared(tmp_path: Path) -> None:
    first, hydra = composed("trainer.seed=1")
    assert changes(first, tmp_path) == {}
    save_composed(first, tmp_path, hydra)
    saved = load_composed(tmp_path)
    assert saved == first
    assert OmegaConf.is_interpolation(saved.optimizer, "lr")
    assert OmegaConf.load(tmp_path / ".hydra" / "overrides.yaml") == ["trainer.seed=1"]
    assert choices(tmp_path).items() >= {"model": "dcgan", "optimizer/schedule": "constant"}.items()
    second, hydra = composed("trainer.seed=2", "+trainer.extra=1", "model=mlp")
    changed = changes(second, tmp_path)
    assert changed["trainer.seed"] == (1, 2) and changed["trainer.extra"] == (None, 1)
    save_composed(second, tmp_path, hydra)
    assert load_composed(tmp_path, trusted=True) == second and changes(second, tmp_path) == {}
    assert OmegaConf.load(tmp_path / ".hydra" / "overrides.yaml") == ["trainer.seed=1"]
    assert choices(tmp_path)["model"] == "dcgan"


@pytest.mark.parametrize(
    ("text", "name"),
    [("loss=wgan,optimizer.lr=1e-3", "loss-wgan_optimizer.lr-1e-3"), ("a/b c", "a-b-c"), ("", "run"), ("../x", "x")],
)
def test_names_of_folders_need_no_quotes(text: str, name: str) -> None:
    assert file_name(text) == name
