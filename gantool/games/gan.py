"""One generator against one discriminator (Goodfellow 2014); what kind of GAN it is, its parts say."""

from collections.abc import Hashable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from gantool.auxiliaries import Codes
from gantool.batch import Batch, Draws, Request
from gantool.errors import GantoolError, check_members
from gantool.game import Augment, Auxiliary, Game, Loss, Outcome, Player, Progress, Regularizer, Turn
from gantool.games.adversary import Adversary, with_features
from gantool.growth import Progressive
from gantool.latents import Latent


def stage_of(network: nn.Module) -> Tensor:
    """The scalar buffer `stage` of a network that holds all its blocks and uses those of its stage; raises GantoolError
    for one without."""
    stage = getattr(network, "stage", None)
    if stage is None:
        raise GantoolError(f"model.growth: {type(network).__qualname__} has no stage, so cannot grow; use model=progan")
    return stage


class Fakes(NamedTuple):
    """What the generator made of latents and labels."""

    images: Tensor  # (N, C, H, W) in [-1, 1]
    z: Tensor  # (N, latent dim)
    labels: Tensor | None  # (N,) int64


class GAN(Game):
    """The discriminator moves first, `loss.n_critic` times; then the generator, once.

    `regularizers` add to those that the loss brings; `auxiliaries` read the discriminator's features; `augment` is
    applied to real and fake images alike; `growth` sets the `stage` of both networks; with `conditional` both are given
    the labels, of generated images those of the real ones or, with `fake_labels` 'uniform', new ones.
    `generator_batch`: the generator's turn has real images of its own, so many times as many as the discriminator's;
    None: those of its last update. `reuse_fakes`: then it also learns from the generated images of that update, as in
    DCGAN's authors' code, and makes none anew; their graphs are kept in memory meanwhile.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: Latent,
        loss: Loss,
        regularizers: Mapping[str, Regularizer] | None = None,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
        augment: Augment | None = None,
        growth: Progressive | None = None,
        conditional: bool = False,
        fake_labels: Literal["real", "uniform"] = "real",
        num_classes: int = 0,
        generator_batch: float | None = None,
        reuse_fakes: bool = False,
    ) -> None:
        super().__init__()
        check_members(latent, Latent, "model.latent")
        if fake_labels != "real" and not conditional:
            raise GantoolError(
                f"model.fake_labels={fake_labels}: there are no labels; add model.conditional=true, or leave it out"
            )
        self.generators = nn.ModuleDict({"generator": generator})
        self.discriminator = discriminator
        self.latent, self.conditional, self.growth = latent, conditional, growth
        self.fake_labels, self.num_classes = fake_labels, num_classes
        self.reuse_fakes = reuse_fakes and generator_batch is None
        self.kept: list[Fakes] = []  # for the generator's turn, a part of the batch each
        self.codes = [f"category{i}" for i in range(len(latent.categories))] if isinstance(latent, Codes) else []
        self.adversary = Adversary(discriminator, loss, regularizers, augment, auxiliaries)
        for auxiliary in self.adversary.auxiliaries.values():
            auxiliary.build(latent, with_features(discriminator, self.adversary.auxiliaries), num_classes)
        self.regularizers = self.adversary.with_state()
        self.heads = nn.ModuleDict(self.adversary.auxiliaries)  # their weights, which move with the discriminator
        self.augment = augment
        heads = [self.heads] if len(self.heads) else []
        constrain = self.adversary.constrain
        anew = None if growth is None else growth.begins_anew
        self.players = {
            "discriminator": Player(
                [discriminator, *heads], self.discriminator_loss, loss.n_critic, constrain, begins_anew=anew
            ),
            "generator": Player([generator], self.generator_loss, own_batch=generator_batch, begins_anew=anew),
        }
        self.begin_round(self.progress)

    def begin_round(self, progress: Progress) -> None:
        """With a growth, sets the stage of both networks."""
        super().begin_round(progress)
        self.kept.clear()
        if self.growth is not None:
            for network in (self.generators["generator"], self.discriminator):
                stage_of(network).fill_(self.growth.stage(progress))

    def kind(self, step: int) -> Hashable:
        """The regularizers that are due in each update of this round (training/graphs.py)."""
        steps = range(step, step + self.players["discriminator"].updates)
        moves = [self.adversary.due("discriminator", number) for number in steps]
        return *moves, self.adversary.due("generator", self.progress.rounds)

    def batch_size(self, size: int) -> int:
        return size if self.growth is None else self.growth.batch_size(float(stage_of(self.discriminator)), size)

    def smallest_batch(self, size: int) -> int:
        return size if self.growth is None else self.growth.smallest_batch(size)

    def shrunk(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images at the resolution that the discriminator has reached, by its own stage: a checkpoint
        brings it back."""
        return images if self.growth is None else self.growth.shrink(images, float(stage_of(self.discriminator)))

    def labels(self, labels: Tensor | None) -> Tensor | None:
        """(N,) int64 for a conditional game, else None."""
        return labels if self.conditional else None

    def make(self, batch: Batch) -> Fakes:
        """As many images as in `batch`, from new latents."""
        z, labels = self.latent.sample(batch.draws), self.labels(batch.labels)
        asked = labels
        if self.fake_labels == "uniform":
            if labels is not None and labels.is_floating_point():
                raise GantoolError("model.fake_labels=uniform draws classes, and labels are vectors: leave it out")
            asked = batch.draws.randint(self.num_classes)
        return Fakes(self.generators["generator"](z, asked), z, asked)

    def turn(self, batch: Batch, fakes: Fakes, *, grad: bool) -> Turn:
        """The fakes beside the real images, both augmented; `grad` says if the generator is to learn from them."""

        def see(images: Tensor) -> Tensor:
            return self.adversary.see(images, batch.draws)

        def generate(z: Tensor) -> Tensor:
            with torch.set_grad_enabled(grad):
                return self.generators["generator"](z, fakes.labels)

        fake = fakes.images if grad else fakes.images.detach()
        with torch.set_grad_enabled(grad):
            seen = see(fake)
        real = self.shrunk(batch.images)
        before, labels = self.adversary.before(real, fake, see), self.labels(batch.labels)
        return Turn(see(real), seen, labels, fakes.z, batch, self.progress, fakes.labels, before, generate)

    def discriminator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term, the auxiliaries' and the discriminator's regularizers."""
        number = (batch.position - self.progress.nimg) // batch.total + 1  # of this round's updates
        keep = self.reuse_fakes and number % self.players["discriminator"].updates == 0
        if keep:
            self.generators.requires_grad_(True)  # their graph is for the generator's turn, which comes next
        with torch.set_grad_enabled(keep):
            fakes = self.make(batch)
        self.kept += [fakes] if keep else []
        return self.adversary.discriminator_loss(self.turn(batch, fakes, grad=False))

    def generator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term, the auxiliaries' and the generator's regularizers."""
        turn = self.turn(batch, self.kept.pop(0) if self.kept else self.make(batch), grad=True)
        terms = self.adversary.generator_terms(turn)
        return Outcome(terms | self.adversary.regularize("generator", self.generators["generator"], turn))

    def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
        z = self.latent.sample(request.draws, request.truncation)
        return self.generate(z, self.labels(request.labels), generators)

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """The traversals of the latent's codes."""
        return self.traversals(batch.draws, self.labels(batch.labels), generators)

    def traversals(
        self, draws: Draws, labels: Tensor | None, generators: nn.ModuleDict
    ) -> dict[str, tuple[Tensor, int]]:
        """Images that show what each code of the latent means, all of the first of `labels`, and their columns."""
        made = {}
        for name, (z, columns) in self.latent.traversals(draws).items():
            asked = None if labels is None else labels[:1].expand(len(z), *labels.shape[1:])
            made[name] = (self.generate(z, asked, generators), columns)
        return made

    def generate(self, z: Tensor, labels: Tensor | None, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] at the final resolution for (N, latent dim) and (N,) labels."""
        network = generators["generator"]
        images = network(z, labels)
        return images if self.growth is None else self.growth.enlarge(images, float(stage_of(network)))
