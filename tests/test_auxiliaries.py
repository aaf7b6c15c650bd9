"""InfoGAN, AC-GAN and feature matching: formulas, codes, whom they teach, and what they refuse."""

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import mutual_info_score
from torch import distributions
from torchvision.transforms.functional import InterpolationMode, adjust_gamma, rotate

from extent import some
from gantool.augment import Jitter
from gantool.auxiliaries import ClassPrediction, FeatureMatching, Information, mutual_information
from gantool.batch import Batch, Draws, Request
from gantool.cli.main import main
from gantool.data.cache import prepare
from gantool.data.mnist import Mnist5k
from gantool.data.source import Decoded
from gantool.errors import GantoolError
from gantool.game import Progress, Turn
from gantool.latents import Normal, Structured
from gantool.metrics.digits import DigitFeatures
from gantool.monitors.codes import LabelAgreement, agreement
from runs import same_training, small, train

CPU = torch.device("cpu")


def turn(z: torch.Tensor, labels: torch.Tensor | None = None) -> Turn:
    images = torch.zeros(len(z), 1, 8, 8)
    return Turn(images, images, labels, z, Batch(images), Progress())


class Trunk(torch.nn.Module):
    """A discriminator of 8x8 images whose features are linear in them."""

    feature_dim = 16

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 16)

    def features(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.layer(images.flatten(1))

    def score(self, features: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return features[:, :1]


def draws(count: int) -> Draws:
    return Draws(count, CPU)


def test_codes_are_uniform_one_hot_and_in_range() -> None:
    torch.manual_seed(0)
    latent = Structured(dim=20, categories=[4, 3], continuous=2)
    noise, four, three, codes = latent.split(latent.sample(draws(4000)))
    assert noise.shape == (4000, 11) and codes.abs().max() <= 1
    assert (four.sum(1) == 1).all() and torch.allclose(four.mean(0), torch.full((4,), 0.25), atol=0.03)
    narrow = Structured(dim=20, categories=[4, 3], continuous=2, noise_std=0.1)
    assert narrow.split(narrow.sample(draws(4000)))[0].std().item() == pytest.approx(0.1, rel=0.05)
    assert (three.sum(1) == 1).all() and codes.std().item() == pytest.approx(1 / math.sqrt(3), abs=0.02)
    with pytest.raises(GantoolError, match="noise and codes"):  # nothing is left for the noise
        Structured(dim=12, categories=[10], continuous=2)


def test_traversals_change_one_code_alone() -> None:
    latent = Structured(dim=20, categories=[4], continuous=2)
    views = latent.traversals(draws(64))
    z, columns = views["category0"]
    noise, category, codes = latent.split(z)
    assert z.shape == (4 * columns, 20) and category.argmax(1).tolist() == [row for row in range(4) for _ in range(10)]
    assert torch.equal(noise[:10], noise[10:20]) and torch.equal(codes[:10], codes[30:])
    z, columns = views["code1"]
    rows = z.view(-1, columns, 20)
    assert torch.equal(rows[0, :, 19], torch.linspace(-2, 2, 10)) and (rows[:, 1:, :19] == rows[:, :1, :19]).all()


def test_the_bound_on_mutual_information() -> None:
    torch.manual_seed(0)
    latent = Structured(dim=12, categories=[5], continuous=2)
    part = Information(weight=1.0, continuous_weight=1.0)
    part.build(latent, Trunk(), 0)
    z, features = latent.sample(draws(6)), torch.randn(6, 16)
    output = part.recognizer(features)
    _, category, codes = latent.split(z)
    log_q = distributions.Categorical(logits=output[:, :5]).log_prob(category.argmax(1)).mean()
    log_q_codes = distributions.Normal(output[:, 5:], 1.0).log_prob(codes).sum(1).mean()
    bound = log_q + math.log(5) + log_q_codes + 2 * math.log(2)
    assert part.generator(features, None, turn(z)).item() == pytest.approx(-bound.item(), rel=1e-5)
    assert torch.equal(part.generator(features, None, turn(z)), part.discriminator(features, features, turn(z)))


def test_information_between_two_views_is_that_of_their_contingency_table() -> None:
    torch.manual_seed(0)
    one, other = torch.randint(4, (2, 500))
    other = torch.where(torch.rand(500) < 0.6, one, other)
    measured = mutual_information(F.one_hot(one, 4).float(), F.one_hot(other, 4).float())
    expected = mutual_info_score(torch.cat([one, other]), torch.cat([other, one]))  # either view being the first
    assert measured.item() == pytest.approx(expected, abs=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert mutual_information(F.one_hot(one, 4).float(), F.one_hot(other, 4).float()) == measured
    assert mutual_information(torch.eye(4), torch.eye(4)).item() == pytest.approx(math.log(4), abs=1e-4)
    assert mutual_information(torch.eye(4), torch.full((4, 4), 0.25)).item() == pytest.approx(0, abs=1e-4)


def test_a_code_is_paid_for_reading_a_real_image_and_its_other_view_alike() -> None:
    torch.manual_seed(0)
    trunk, latent = Trunk(), Structured(dim=12, categories=[5, 3], continuous=2)
    plain, paid = Information(), Information(transform=lambda images, _: images.flip(3), invariance_weight=2.0)
    for part in (plain, paid):
        part.build(latent, trunk, 0)
    paid.recognizer.load_state_dict(plain.recognizer.state_dict())
    assert len(list(paid.parameters())) == 4, "the trunk is the discriminator's, not the term's"
    real, now = torch.randn(30, 1, 8, 8), turn(latent.sample(draws(30)))
    now = replace(now, real=real)
    features, fake = trunk.features(real), torch.randn(30, 16)
    before, after = (plain.recognizer(trunk.features(x))[:, :5].softmax(1) for x in (real, real.flip(3)))
    expected = paid.generator(fake, None, now) - 2 * mutual_information(before, after)
    assert paid.discriminator(features, fake, now).item() == pytest.approx(expected.item(), rel=1e-5)


def test_categorical_codes_are_read_from_the_transformed_image_and_continuous_ones_from_the_image() -> None:
    torch.manual_seed(0)
    trunk, latent = Trunk(), Structured(dim=12, categories=[5], continuous=2)
    paid, plain = Information(transform=lambda images, _: images.flip(3)), Information()
    for part in (paid, plain):
        part.build(latent, trunk, 0)
    plain.recognizer.load_state_dict(paid.recognizer.state_dict())
    fake, now = torch.randn(6, 1, 8, 8), turn(latent.sample(draws(6)))
    now = replace(now, fake=fake)
    features, flipped = trunk.features(fake), trunk.features(fake.flip(3))
    plain.continuous_weight = paid.continuous_weight = 0.0
    assert paid.generator(features, None, now).item() == pytest.approx(plain.generator(flipped, None, now).item())
    plain.weight, paid.weight, plain.continuous_weight, paid.continuous_weight = 0.0, 0.0, 1.0, 1.0
    assert paid.generator(features, None, now).item() == pytest.approx(plain.generator(features, None, now).item())


def test_jitter_agrees_with_torchvision() -> None:
    digits = list(islice(Mnist5k().read(), 0, 4000, 500))
    pixels = torch.stack([torch.from_numpy(digit.pixels) for digit in digits if isinstance(digit, Decoded)])
    images = pixels.float() / 127.5 - 1
    assert torch.allclose(Jitter(0, 0, 0, 0, 0)(images, draws(len(images))), images, atol=3e-3)
    torch.manual_seed(3)
    turned = Jitter(rotation=30, shear=0, size=0, shift=0, gamma=1)(images, draws(len(images)))
    torch.manual_seed(3)
    drawn = 2 * torch.rand(8, 7) - 1
    angles, powers = 30 * drawn[:, 0], 2 ** drawn[:, 6]
    bilinear = InterpolationMode.BILINEAR
    for image, angle, power, made in zip(images, angles, powers, turned, strict=True):
        light = rotate((image + 1) / 2, float(angle), bilinear).clamp(1e-3, 1)
        assert torch.allclose(made, 2 * adjust_gamma(light, float(power)) - 1, atol=1e-3)
    strong = Jitter(shift=1.0)(images, draws(len(images)))
    assert strong.min() >= -1 and strong.max() <= 1 and strong.mean() < images.mean(), "black moves in"
    with pytest.raises(GantoolError, match="0 or more"):
        Jitter(rotation=-1)


def test_class_prediction_and_feature_matching() -> None:
    torch.manual_seed(0)
    part, labels = ClassPrediction(weight=2.0), torch.tensor([0, 2, 1])
    part.build(Normal(4), Trunk(), 3)
    real, fake = torch.randn(2, 3, 16)
    now = turn(torch.zeros(3, 4), labels)
    wrong = [-2 * distributions.Categorical(logits=part.classifier(x)).log_prob(labels).mean() for x in (real, fake)]
    assert part.discriminator(real, fake, now).item() == pytest.approx(float(wrong[0] + wrong[1]), rel=1e-5)
    assert part.generator(fake, None, now).item() == pytest.approx(wrong[1].item(), rel=1e-5)
    expected = sum((real[:, i].mean() - fake[:, i].mean()) ** 2 for i in range(16)) / 16
    assert FeatureMatching().generator(fake, real, now).item() == pytest.approx(float(expected), rel=1e-5)
    assert FeatureMatching().discriminator(real, fake, now).item() == 0


def test_agreement_is_under_the_best_matching() -> None:
    assert agreement(torch.tensor([[3, 3, 1], [1, 1, 1], [0, 0, 3], [2, 2, 2]])) == pytest.approx(10 / 12)
    assert agreement(torch.full((10, 7), 4)) == pytest.approx(0.1), "one class for every value is no agreement"


CROSSINGS = [
    "dcgan model.conditional=true model.discriminator.condition=none auxiliary=[acgan,feature-matching]",
    "infogan model.conditional=true loss=wgan-gp",
    "infogan auxiliary=invariant-information loss=hinge",
    "infogan auxiliary=[information,feature-matching] trainer.microbatch=4",
]


@pytest.mark.parametrize("words", some(CROSSINGS, 1))
def test_crossings_train_and_resume_exactly(in_tmp: Path, words: str) -> None:
    model, *rest = words.split()
    whole = train(in_tmp / "whole", *rest, model=model, rounds=4)
    train(in_tmp / "parts", *rest, model=model, rounds=2)
    assert same_training(whole, train(in_tmp / "parts", *rest, model=model, rounds=4))
    assert any(name.startswith("heads.") for name in whole["game"]), "the heads are in the checkpoint"


SCORED = ["score=fd", "monitor.scores.num=60", "monitor.scores.batch_size=30"]


def test_the_agreement_is_logged_and_the_traversals_drawn(in_tmp: Path) -> None:
    train(in_tmp / "run", *SCORED, model="infogan", rounds=2)
    lines = (in_tmp / "run" / "metrics.jsonl").read_text()
    assert '"codes/category0": ' in lines and "one-to-one" in lines
    names = {path.name.rpartition("-")[0] for path in (in_tmp / "run" / "samples").iterdir()}
    assert {"category0", "code0", "code1", "generated", "real"} <= names


def test_the_share_of_the_class_asked_for_is_logged(in_tmp: Path) -> None:
    """Against a generator that is known to be right for seven classes of ten: it hands back real digits."""
    image_set = prepare(Mnist5k(None))
    assert image_set.labels is not None
    of_class = torch.stack([image_set.images[image_set.labels == label][0] for label in (0, 1, 2, 3, 4, 5, 6, 9, 7, 8)])

    class Known(torch.nn.Module):
        def sample(self, request: Request, generators: torch.nn.ModuleDict) -> torch.Tensor:
            assert request.labels is not None
            return of_class[request.labels].float() / 127.5 - 1

    monitor = LabelAgreement(DigitFeatures(), image_set, CPU, num_classes=10)
    record = monitor(Known(), torch.nn.ModuleDict(), Progress())  # pyright: ignore[reportArgumentType]
    assert record.scalars == {"codes/label": 0.7}
    train(in_tmp / "run", *SCORED, "model.conditional=true", rounds=2)
    assert '"codes/label": ' in (in_tmp / "run" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["auxiliary=information"], "add model/latent=structured"),
        (["auxiliary=acgan"], "add model.conditional=true"),
        (["auxiliary=acgan", "model.conditional=true", "model.discriminator.condition=concat"], "sees the label"),
        (["monitor=codes", "model/latent=structured", "model.latent.dim=20", "model.conditional=true"], "the class"),
        (
            ["auxiliary=invariant-information", "model/latent=structured", "model.latent.categories=[]"],
            "auxiliary.information.transform is for a categorical code: add model.latent.categories",
        ),
        (
            ["auxiliary=information", "model/latent=structured", "auxiliary.information.invariance_weight=2"],
            "auxiliary.information.invariance_weight does nothing without auxiliary.information.transform",
        ),
        (["model/latent=structured"], "model.latent.dim=8 is noise and codes together: the codes take"),
    ],
)
def test_what_a_term_lacks_is_named(in_tmp: Path, words: list[str], message: str, capfd: pytest.CaptureFixture) -> None:
    assert main(small(in_tmp / "run", *words)) == 1
    assert message in capfd.readouterr().err and not (in_tmp / "run").exists()
