"""What the discriminator sees of images: real and fake alike are changed, so that it cannot tell them by the change."""

from gantool.augment.adaptive import ADA
from gantool.augment.affine import Affine
from gantool.augment.diffaugment import DiffAugment
from gantool.augment.noise import InstanceNoise

__all__ = ["ADA", "Affine", "DiffAugment", "InstanceNoise"]
