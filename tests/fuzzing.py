"""Seeded nonsense for every key of every command: what a user, a script or an empty shell variable may type."""

import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from omegaconf import OmegaConf

from composing import composed
from gantool.cli.arguments import add_arguments
from gantool.cli.main import COMMANDS, COMPOSED
from runs import WIDTHS, choices

SMALL = ["trainer.batch_size=8", "trainer.duration=1it", "score=none", "monitor=none", "trainer.precision=fp32"]
MLP = ["model=mlp", *WIDTHS["mlp"], "model.latent.dim=8", "dataset.resolution=8"]
BASES = [
    MLP,
    [*MLP, "loss=wgan-gp"],
    [*MLP, "loss=r3gan", "augment=r3gan"],
    [*MLP, "loss=wgan", "optimizer=rmsprop", "optimizer/schedule=linear"],
    [*MLP, "loss=hinge", "augment=ada", "regularizer=[l1,orthogonal]"],
    [*MLP, "optimizer=sgd", "loss=lsgan", "optimizer/schedule=step"],
    [*MLP, "model.conditional=true", "auxiliary=acgan", "++model.discriminator.condition=none"],
    [*MLP, "auxiliary=invariant-information", "model/latent=structured", "model.latent.dim=20"],
    [*MLP, "score=[fd,is]", "monitor=[samples,scores,histograms]", "monitor.scores.num=20"],
    ["model=progan", *WIDTHS["progan"]],
    ["model=dcgan", *WIDTHS["dcgan"], "dataset.resolution=32"],
    ["model=r3gan", *WIDTHS["r3gan"]],
]
TYPED = [
    *("null", "[]", "{}", "''", "' '", "abc", "-1", "0", "1", "2", "3.5", "-0.5", "1e-400", "1e400", "-1e400", "nan"),
    *("1e308", "-1e308", "1e30", "100000000", "99999999999999999999", "true", "false", "[1,2]", "[null]", "[abc]"),
    *("[[1]]", "{a:1}", "{_target_:os.getcwd}", "{_target_:torch.nn.Linear,in_features:1,out_features:1}", "???"),
    *(
        "${nope}",
        "${trainer}",
        "${oc.env:NOPE}",
        "é",
        "\\x00",
        "10it",
        "5kimg",
        "1e9Mimg",
        "-3it",
        "0it",
        "0.002ep",
        "1img",
    ),
    *("auto", "cpu", "cuda:99", "meta", "/proc/x", "/dev/null", "/etc/hostname", ".", "..", "~", "a=b", "a,b", "'a b'"),
    *('"\'"', "'\"'", "'a", "x" * 70, "2023-01-01", "0x10", "1_000", "1e3", "+1", "(1)", "@", "#"),
]
CLASSES = [
    *("os.getcwd", "builtins.print", "builtins.dict", "gantool", "gantool.losses", "gantool.losses.Nope", "json.loads"),
    *(
        "sys.exit",
        "torch.nn.Linear",
        "torch.optim.LBFGS",
        "torch.optim.SparseAdam",
        "gantool.losses.Hinge",
        "false",
        "3",
    ),
    *(
        "gantool.networks.mlp.Generator",
        "gantool.networks.mlp.Discriminator",
        "gantool.augment.ADA",
        "null",
        "''",
        "[a]",
    ),
    *("gantool.latents.Normal", "gantool.regularizers.R1", "gantool.regularizers.WeightClip", "gantool.schedules.Ramp"),
    *(f"broken.{name}" for name in ("Raises", "Returns", "Exits", "Parameterless", "Shape", "NaN", "Module", "number")),
]
QUICK = {
    "sample": ["num=4"],
    "evaluate": ["num=20"],
    "embed": ["num=20"],
    "interpolate": ["rows=2", "steps=2"],
    "project": ["num=2", "steps=2", "starts=4"],
    "truncation": ["num=20", "thresholds=[1.0]"],
    "explain": ["latents=2", "images=2", "shown=1"],
}
BROKEN = """
import sys
import torch
from torch import nn

number = 3


class Raises:
    def __init__(self, *args, **kwargs):
        raise KeyError("mine")


class Exits:
    def __init__(self, *args, **kwargs):
        sys.exit(0)


def Returns(*args, **kwargs):
    return 7


class Module(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, *args):
        return self.layer(torch.zeros(1, 3))


class Parameterless(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, x, labels=None):
        return x


class Shape(Module):
    def forward(self, x, labels=None):
        return self.layer(torch.zeros(7, 3, device=x.device)) + 0 * x.sum()


class NaN(Module):
    def forward(self, x, labels=None):
        return x.flatten(1)[:, :1] * self.layer.weight.sum() * float("nan")
"""


def keys_of(node: Any, path: str = "") -> Iterator[str]:
    """Every key of plain containers, those of groups too."""
    if path:
        yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from keys_of(value, f"{path}.{key}" if path else str(key))


@cache
def keys_of_base(index: int) -> list[str]:
    """Every key of one of BASES."""
    cfg, _ = composed(*add_arguments([*SMALL, *BASES[index]]))
    return sorted(set(keys_of(OmegaConf.to_container(cfg))))


def train_cases(random: Random, num: int) -> Iterator[list[str]]:
    """Words of `gantool train`, most of them wrong in one or two keys."""
    groups = ["model", "loss", "optimizer", "dataset", "augment", "score", "monitor", "features", "regularizer"]
    groups += ["auxiliary", "trainer", "experiment", "optimizer/schedule", "loss/top", "model/latent"]
    for _ in range(num):
        index = random.randrange(len(BASES))
        keys, words = keys_of_base(index), []
        for _ in range(random.choice((1, 1, 1, 2))):
            kind = random.random()
            key = random.choice(keys)
            if kind < 0.1:
                group = random.choice(groups)
                known = choices(group)
                words.append(f"{group}={random.choice([*known, *known, 'nope', '[nope]', 'null', '', '3', '{a:1}'])}")
            elif kind < 0.15:
                before, after = random.choice(["+", "~", "++", ""]), random.choice(["x", ".x", "s", ""])
                words.append(f"{before}{key}{after}={random.choice(TYPED)}")
            elif key.endswith("_target_") or kind < 0.25:
                target = random.choice([key for key in keys if key.endswith("_target_")])
                words.append(f"{target}={random.choice(CLASSES)}")
            else:
                words.append(f"{key}={random.choice(TYPED)}")
        yield ["train", *SMALL, *BASES[index], *words]


def command_cases(random: Random, num: int, run: Path) -> Iterator[list[str]]:
    """Words of every other command, on a trained run."""
    names = [name for name in COMMANDS if name not in COMPOSED and name != "calibrate"]
    for _ in range(num):
        name = random.choice(names)
        module = importlib.import_module(COMMANDS[name][0].partition(":")[0])
        keys = [*module.Options.keys(), *module.Options.keys(), "hydra.run.dir", "rn", "out.x"]
        words = [f"{random.choice(keys)}={random.choice(TYPED)}" for _ in range(random.choice((1, 1, 2)))]
        yield [name, f"run={run}", *QUICK.get(name, []), *words]
