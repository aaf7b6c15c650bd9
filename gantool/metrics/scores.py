"""The published scores: distances, the Inception score, neighbours, and what samples teach a classifier."""

import warnings

import torch
from torch import Tensor, nn

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.metrics.classifier import accuracy, fit
from gantool.metrics.embedding import Embedding
from gantool.metrics.neighbours import Overlap, overlap
from gantool.metrics.score import Score


class FrechetDistance(Score):
    """Between normal distributions of equal mean and covariance (Heusel 2017): FID in Inception's features."""

    needs_covariance = True

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """|mean a - mean b|^2 + tr(A + B - 2 sqrt(A B))."""
        from torchmetrics.image.fid import FrechetInceptionDistance

        # Ranks must not meet in it: only the first one scores.
        metric = FrechetInceptionDistance(Given(real.features.shape[1]), sync_on_compute=False)
        metric.update(fake.features[:0].double(), real=False)  # of no images: it notes the dtype of the result
        metric.fake_features_sum, metric.fake_features_cov_sum = fake.moments
        metric.real_features_sum, metric.real_features_cov_sum = real.moments
        metric.fake_features_num_samples, metric.real_features_num_samples = (
            torch.tensor(len(side)) for side in (fake, real)
        )
        return float(metric.compute())


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

    higher_is_better = needs_classes = True

    def __init__(self, splits: int = 10) -> None:
        require(1, splits=splits)
        self.splits, self.fewest = splits, max(splits, 2)

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """Of the generated images alone."""
        from torchmetrics.image.inception import InceptionScore as Metric

        order = torch.randperm(len(fake.logits), generator=torch.Generator().manual_seed(seed))
        means = []
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it shuffles the images once more
            warnings.simplefilter("ignore", UserWarning)  # of its memory, and of no spread where there is one split
            for part in fake.logits.double()[order].tensor_split(self.splits):
                metric = Metric(Given(part.shape[1]), splits=1, sync_on_compute=False)
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

    def __init__(self, k: int = 5) -> None:
        super().__init__(k)


class ClassificationAccuracy(Score):
    """On real images, of a small classifier trained on the generated ones (Ravuri 2019), whatever the features.

    `num_images`: how many images the training looks at. The floor is what as many real images teach.
    """

    higher_is_better = needs_images = needs_labels = True
    of_features = False

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


class Given(nn.Module):
    """Stands for the network inside a metric: what the metric is handed are features already.

    So one forward serves all scores, and torchmetrics has no network to put into training mode.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The same (N, num_features)."""
        return features
