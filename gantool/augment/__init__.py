"""Random changes of images: of real and fake alike before the discriminator, which then cannot tell them by the change,
and (Affine) of an image that a term compares with itself."""

from gantool.augment.adaptive import ADA
from gantool.augment.affine import Affine
from gantool.augment.diffaugment import DiffAugment
from gantool.augment.noise import InstanceNoise

__all__ = ["ADA", "Affine", "DiffAugment", "InstanceNoise"]
