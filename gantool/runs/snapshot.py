"""A snapshot: the averaged generators of a run and the configuration that rebuilds them, in one safetensors file."""

import hashlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from hydra.errors import InstantiationException
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gantool import __version__
from gantool.commands.build import make
from gantool.errors import GantoolError, did_you_mean
from gantool.game import Batch, Game
from gantool.games.gan import GAN
from gantool.training.randomness import seed_torch

NAME = "snapshot.safetensors"
FORMAT = "gantool snapshot 1"
# Where the parts of a model live: what a stranger's snapshot may name.
PARTS = ("games", "networks", "losses", "regularizers", "auxiliaries", "latents", "growth", "augment", "schedules")


class FromLatent(nn.Module):
    """A generator as its user calls it: latents, and labels if it is conditional, to images at the final resolution."""

    def __init__(self, game: GAN, generators: nn.ModuleDict, shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.network = generators["generator"]
        self.generate, self.latent = game.generate, game.latent  # bound: the discriminator is no part of this module
        self.shape, self.num_classes = shape, num_classes

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent.dim) and (N,) int64 -> (N, C, H, W) float32 in [-1, 1]."""
        if self.num_classes and labels is None:
            raise GantoolError(
                f"this generator is conditional: give it labels, (N,) int64 in 0 to {self.num_classes - 1}"
            )
        return self.generate(z, labels, cast(nn.ModuleDict, {"generator": self.network}))

    def latents(self, count: int) -> Tensor:
        """(count, latent.dim) as they are drawn in training, from torch's random state."""
        device = next(self.network.parameters()).device
        return self.latent.sample(Batch(torch.zeros(count, *self.shape, device=device)))

    @torch.no_grad()
    def sample(self, count: int, *, seed: int = 0, labels: Tensor | None = None) -> Tensor:
        """(count, C, H, W) for latents drawn as in training; without `labels`, the classes in turn."""
        device = next(self.network.parameters()).device
        if labels is None and self.num_classes:
            labels = torch.arange(count, device=device) % self.num_classes
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            seed_torch("snapshot", seed)
            return self(self.latents(count), labels)


def callables(game: Game, generators: nn.ModuleDict, plain: dict[str, Any]) -> dict[str, nn.Module]:
    """The generators by name as their user calls them: from latents in a GAN, else from images (N, C, H, W)."""
    if not isinstance(game, GAN):
        return dict(generators.items())
    dataset = plain["dataset"]
    shape = dataset["channels"], dataset["resolution"], dataset["resolution"]
    num_classes = dataset["num_classes"] if game.conditional else 0
    return {"generator": FromLatent(game, generators, shape, num_classes)}


def save_snapshot(path: Path, generators: nn.ModuleDict, plain: dict[str, Any], nimg: int) -> None:
    """Writes the weights with what rebuilds them: the model and the images' shape, no path of this machine."""
    state = {name: value.detach().cpu().contiguous() for name, value in generators.state_dict().items()}
    kept = {key: plain["dataset"][key] for key in ("channels", "resolution", "num_classes")}
    metadata = {
        "format": FORMAT,
        "gantool": __version__,
        "config": json.dumps({"model": plain["model"], "dataset": kept}),
        "nimg": str(nimg),
        "kimg": f"{nimg / 1000:g}",
        "sha256": _sha256(state),
    }
    save_file(state, path, metadata)


def load(path: str | Path, name: str | None = None, *, trust: bool = False) -> Any:
    """The generator in a snapshot (the file, or the folder it lies in), in eval mode on the CPU.

    `generator(z)`, or `generator(z, labels)` where it is conditional, gives (N, C, H, W) float32 in [-1, 1];
    `generator.sample(count, seed=0)` draws the latents too. Of a game that translates, `name` says which generator
    ("a2b"); it is called with images.

    Nothing in the file is executed or unpickled, but its configuration names the classes to build. Only classes of
    gantool's own models are built; `trust=True` also imports and calls whatever else the file names, which is as good
    as running its author's program: say it only of snapshots whose author you know. Raises GantoolError for a file that
    is no snapshot, is damaged, or names other code.
    """
    path = Path(path).expanduser()
    path = path / NAME if path.is_dir() else path
    state, plain, version = _read(path)
    if not trust and (foreign := list(_foreign(plain["model"]))):
        raise GantoolError(
            f"{path} asks for code that is not gantool's ({foreign[0]}): trust=True if you know its author"
        )
    try:
        game: Game = make(plain["model"])
        game.generators.load_state_dict(state)
        found = callables(game, game.generators, plain)
    except (InstantiationException, RuntimeError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GantoolError(f"{path} (gantool {version}) does not fit gantool {__version__}: {reason}") from error
    game.eval().requires_grad_(False)
    name = name or (next(iter(found)) if len(found) == 1 else "")
    if name not in found:
        hint = did_you_mean(name, found)
        raise GantoolError(f"{path} holds the generators {', '.join(found)}{hint}: load(path, name) chooses one")
    return found[name].eval()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """The weights, the configuration, and the version of gantool that wrote them."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise GantoolError(f"{path} is no readable snapshot ({str(error).splitlines()[0]})") from error
    try:
        plain = json.loads(metadata["config"])
        sound = metadata["format"] == FORMAT and "_target_" in plain["model"]
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise GantoolError(f"{path} is no snapshot of gantool: gantool export run=FOLDER makes one")
    if metadata.get("sha256") != _sha256(state):
        raise GantoolError(f"{path} is damaged: its weights do not have the checksum they were written with")
    return state, plain, metadata.get("gantool", "of unknown version")


def _foreign(node: Any) -> Iterator[str]:
    """What a configuration would call or read beside the classes of gantool's own models."""
    if isinstance(node, str) and "${" in node:  # would be looked up on this machine
        yield node
    if isinstance(node, list):
        for child in node:
            yield from _foreign(child)
    if not isinstance(node, dict):
        return
    for key, child in node.items():
        if key == "_target_" and not _is_own(child):
            yield str(child)
        yield from _foreign(child)


def _is_own(target: Any) -> bool:
    """True for a class that is defined in gantool's parts of models."""
    prefixes = tuple(f"gantool.{part}." for part in PARTS)
    if not isinstance(target, str) or not target.startswith(prefixes):
        return False
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        return False
    return isinstance(found, type) and f"{found.__module__}.".startswith(prefixes)


def _sha256(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
