"""The published scores: distances, the Inception score, neighbours, and what samples teach a classifier."""

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.margins import margin
from gantool.metrics.classifier import accuracy, fit
from gantool.metrics.embedding import Embedding
from gantool.metrics.neighbours import Overlap, overlap
from gantool.metrics.score import Score
from gantool.randomness import shuffled


class FrechetDistance(Score):
    """Between normal distributions of equal mean and covariance (Heusel 2017): FID in Inception's features."""

    needs_covariance = leaves_out = True

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """|mean a - mean b|^2 + tr(A + B - 2 sqrt(A B)).

        sqrt(A B) has the trace of the root of sqrt(B) A sqrt(B), which is symmetric: five times as fast in 1,280
        dimensions as the eigenvalues of A B, and sqrt(B) is computed once.
        """
        (mean_a, a), (mean_b, b) = fake.normal, real.normal
        root = real.once("root", lambda: _root(b))
        roots = torch.linalg.eigvalsh(root @ a @ root).clamp(min=0).sqrt()
        return float((mean_a - mean_b).square().sum() + a.trace() + b.trace() - 2 * roots.sum())


class FrechetDistanceInfinity(Score):
    """Extrapolated to infinitely many generated images (Chong & Forsyth 2020): FID-infinity in Inception's features.

    The distance is measured at `points` numbers of images, evenly from a tenth of them to all, each time of others
    drawn at random; a line over 1/number is fitted, and where it meets 0 is the score. The bias that comes of the
    number of real images stays.
    """

    needs_covariance = True
    share_drawn = 0.1
    fewest = 20
    parts = 5

    def __init__(self, points: int = 15) -> None:
        require(2, points=points)
        self.points = points

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """Where the line meets 0; it may be negative by chance near the floor."""
        generator, distance = torch.Generator().manual_seed(seed), FrechetDistance()
        counts = torch.linspace(max(len(fake) / 10, 2), len(fake), self.points, dtype=torch.float64).round().long()
        drawn = (fake[torch.randperm(len(fake), generator=generator)[:count]] for count in counts.tolist())
        found = torch.tensor([distance(some, real, seed) for some in drawn], dtype=torch.float64)
        over = 1 / counts.double()
        slope = ((over - over.mean()) * (found - found.mean())).sum() / (over - over.mean()).square().sum()
        return float(found.mean() - slope * over.mean())


def _root(matrix: Tensor) -> Tensor:
    """Of a covariance: symmetric, and its square is `matrix`."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


class KernelDistance(Score):
    """The squared maximum mean discrepancy (Bińkowski 2018), unbiased: KID in Inception's features."""

    def __init__(self, subsets: int = 100, subset_size: int = 1000) -> None:
        require(1, subsets=subsets)
        require(2, subset_size=subset_size)
        self.subsets, self.subset_size = subsets, subset_size

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """The mean over random subsets; of all images at once where there are no more."""
        from torchmetrics.image.kid import poly_mmd  # the published kernel, (x.y / F + 1)^3, is its default

        a, b, size = fake.features, real.features, min(self.subset_size, len(fake), len(real))
        if size == len(a) == len(b):
            return float(poly_mmd(a.double(), b.double()))
        generator = torch.Generator().manual_seed(seed)
        draws = [[torch.randperm(len(x), generator=generator)[:size] for x in (a, b)] for _ in range(self.subsets)]
        return sum(float(poly_mmd(a[rows].double(), b[others].double())) for rows, others in draws) / self.subsets


class InceptionScore(Score):
    """Salimans 2016: sure of each image's class and spread over the classes; the mean over `splits` random parts, as
    equal as they can be (torchmetrics alone would make eight of fifteen images where ten are asked for)."""

    higher_is_better = needs_classes = leaves_out = True

    def __init__(self, splits: int = 10) -> None:
        require(1, splits=splits)
        self.splits, self.fewest = splits, max(splits, 2)

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """Of the generated images alone."""
        return _inception_score(fake.logits.double()[shuffled(len(fake), seed)].tensor_split(self.splits))

    def margin(self, fake: Embedding, real: Embedding, seed: int, parts: int) -> float | None:
        """The jackknife too, of every split in its turn and the others as they are: all dealt anew would differ by more
        than by the images that are left out."""
        if not self.divides(len(fake), parts) or len(fake) < 2 * self.splits:  # none is to lose all its images
            return None
        splits = fake.logits.double()[shuffled(len(fake), seed)].tensor_split(self.splits)
        pieces = [[*split.tensor_split(parts)] for split in splits]

        def without(part: int) -> list[Tensor]:  # of small splits not always the first pieces, which are larger
            left = [(part + number) % parts for number in range(self.splits)]
            return [torch.cat([*p[:k], *p[k + 1 :]]) for p, k in zip(pieces, left, strict=True)]

        found = margin([(parts - 1) * _inception_score(without(part)) for part in range(parts)])
        return found if math.isfinite(found) else None


def _inception_score(splits: Sequence[Tensor]) -> float:
    """The mean over parts of the logits (N, classes)."""
    from torchmetrics.image.inception import InceptionScore as Metric

    means = []
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it shuffles the images once more
        warnings.simplefilter("ignore", UserWarning)  # of its memory, and of no spread where there is one split
        for part in splits:
            metric = Metric(Precomputed(part.shape[1]), splits=1, sync_on_compute=False)
            metric.update(part)
            means.append(float(metric.compute()[0]))
    return sum(means) / len(means)


class Neighbourhoods(Score):
    """One number of an `Overlap`: of neighbourhoods that reach to the k-th neighbour on the same side."""

    higher_is_better = True
    number: str

    def __init__(self, k: int = 3) -> None:
        require(1, k=k)
        self.k, self.fewest = k, k + 1

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        def compare() -> Overlap:  # once for all scores of equal k
            return overlap(fake.points(), real.points(), fake.radii(self.k), real.radii(self.k), self.k)

        return getattr(fake.once(("overlap", real, self.k), compare), self.number)


class Precision(Neighbourhoods):
    """Fidelity: the share of generated images in a real one's neighbourhood (Kynkäänniemi 2019)."""

    number = "precision"


class Recall(Neighbourhoods):
    """Variety: the share of real images in a generated one's neighbourhood (Kynkäänniemi 2019)."""

    number = "recall"
    leaves_out = True
    parts = 5  # each costs about as much as the score


class Density(Neighbourhoods):
    """Fidelity, less moved by outliers than precision: how many real neighbourhoods hold a generated image, in units of
    k (Naeem 2020); 1 for equal distributions."""

    number = "density"

    def __init__(self, k: int = 5) -> None:
        super().__init__(k)


class Coverage(Neighbourhoods):
    """Variety, less moved by outliers than recall: the share of real neighbourhoods that hold a generated image (Naeem
    2020)."""

    number = "coverage"
    leaves_out = True  # of real images: its parts would tell a fifth to two fifths of the margin
    parts = 5

    def __init__(self, k: int = 5) -> None:
        super().__init__(k)


class ClassificationAccuracy(Score):
    """On real images, of a small classifier trained on the generated ones (Ravuri 2019), whatever the features.

    `num_images`: how many images the training looks at. The floor is what as many real images teach.

    It has no margin. Chance among the test images, which is cheap to tell, is not what a margin is of: five sets of 600
    digits taught accuracies with a standard deviation of 0.0049, where 5,000 test images alone would give 0.0026.
    """

    higher_is_better = needs_images = needs_labels = True
    of_features = False
    parts = 0  # each would be a training

    def __init__(self, num_images: int = 100_000) -> None:
        require(1, num_images=num_images)
        self.num_images = num_images

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """Trains and tests; raises GantoolError where a side has no labels."""
        if fake.images is None or fake.labels is None or real.images is None or real.labels is None:
            raise GantoolError("score=cas needs images with labels: leave it out where the generator takes none")
        classes = [str(label) for label in range(int(max(fake.labels.max(), real.labels.max())) + 1)]
        lessons = ImageSet(fake.images, fake.labels, classes, "lessons", "lessons")
        test = ImageSet(real.images, real.labels, classes, "test", "test")
        return accuracy(fit(lessons, num_images=self.num_images, seed=seed, device=real.device), test, real.device)


def require(least: int, **settings: int) -> None:
    """Raises GantoolError for the first setting that is below `least`."""
    for name, value in settings.items():
        if value < least:
            raise GantoolError(f"score: {name}={value}: choose at least {least}")


class Precomputed(nn.Module):
    """Stands for the network inside a metric: what the metric is handed are features already.

    So one forward serves all scores, and torchmetrics has no network to put into training mode.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The same (N, num_features)."""
        return features
