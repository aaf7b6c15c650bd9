"""What a generator can be asked for: classes, by number or name, or vectors of attributes and numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gantool.data.files import few
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError, did_you_mean
from gantool.sampling import filled

Asked = Sequence[int | str] | int | str | None


@dataclass(frozen=True)
class Labelled:
    """`num` classes, or with `vectors` (M, num) float32, some of the training images', numbers in each; 0: nothing.
    `names` are those of the classes or of the numbers, [] where nobody knows them."""

    num: int
    names: list[str] = field(default_factory=list)
    vectors: Tensor | None = None

    @property
    def num_classes(self) -> int:
        """0 too where labels are vectors."""
        return self.num if self.vectors is None else 0

    @property
    def pool(self) -> int | Tensor:
        """What random labels are drawn from: so many classes, or vectors."""
        return self.num if self.vectors is None else self.vectors

    def knows(self, labels: Tensor, count: int) -> bool:
        """Whether labels of any kind could be asked for: classes (count,), or finite vectors (count, num)."""
        return self._unknown(labels, count) is None

    def given(self, labels: Tensor | Asked, count: int, of: object, classes: Asked = None) -> Tensor | None:
        """Labels for `count` images as the generator takes them: those of a tensor, or those that words, or `classes`,
        name, as `asked` has them, taken in turn; None: all in turn. Raises GantoolError for what `of` cannot be asked
        for."""
        if classes is not None:
            if labels is not None:
                raise GantoolError("classes and labels are two names of the same: leave one of them out")
            labels = classes
        if not isinstance(labels, Tensor):
            chosen = self.asked(labels, of)
            return self.in_turn(count) if chosen is None else filled(chosen, count)
        if not self.num:
            raise GantoolError(f"labels: {of} is unconditional: leave them out")
        if (unknown := self._unknown(labels, count)) is not None:
            classes, vectors = f"{count} classes in 0 to {self.num - 1}, int64", f"({count}, {self.num}) finite float32"
            raise GantoolError(f"labels: {of} takes {classes if self.vectors is None else vectors}, not {unknown}")
        return labels if self.vectors is None else labels.float()

    def _unknown(self, labels: Tensor, count: int) -> str | None:
        """What of `labels` could not be asked for: their kind, or the first number; None where all could."""
        classes = self.vectors is None
        shape = (count,) if classes else (count, self.num)
        if labels.shape != shape or not (labels.dtype == torch.int64 if classes else labels.is_floating_point()):
            return f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"
        # As the generator takes them: float64 has numbers that float32 has not.
        known = (labels >= 0) & (labels < self.num) if classes else labels.float().isfinite()
        return None if known.all() else str(labels[~known][0].item())

    def told(self, image_set: ImageSet, of: object) -> ImageSet:
        """The same images, labelled by numbers as `of` was trained with them: by name, where names are known.

        Raises GantoolError for labels of another kind, one that it has not, and vectors that lack one.
        """
        here, labels, data = image_set.class_names, image_set.labels, f"{image_set.name} {image_set.split}"
        if not self.names or labels is None:
            return image_set
        vectors = labels.ndim > 1
        if vectors != (self.vectors is not None):
            is_one, other = ("vectors", "classes") if vectors else ("classes", "vectors")
            raise GantoolError(f"labels of {data} are {is_one}, but {of} was trained with {other}: choose labels alike")
        if here == self.names:
            return image_set
        known = {name: label for label, name in enumerate(self.names)}
        if more := [name for name in here if name not in known]:
            raise GantoolError(f"{data} has labels that {of} was not trained with: {few(more)}; remove or rename them")
        places = torch.tensor([known[name] for name in here])
        if not vectors:
            return replace(image_set, labels=places[labels], class_names=self.names)
        words = {name.partition(":")[0] for name in here if ":" in name}  # of columns: any of them may have no image
        absent = [name for name in self.names if name not in here]
        if lacking := [name for name in absent if ":" not in name or name.partition(":")[0] not in words]:
            raise GantoolError(f"{data} lacks labels that {of} was trained with: {few(lacking)}; add these columns")
        wide = torch.zeros(len(labels), self.num)
        wide[:, places] = labels
        return replace(image_set, labels=wide, class_names=self.names)

    def in_turn(self, count: int) -> Tensor | None:
        """(count,) classes or (count, num) vectors; None where there are none."""
        if self.vectors is not None:
            return filled(self.vectors, count)
        return torch.arange(count) % self.num if self.num else None

    def asked(self, wanted: Asked, of: object) -> Tensor | None:
        """(n,) classes or (n, num) vectors as words name them: a number or name each, where a number that is the name
        of a class means that one, or of vectors names that are to be 1 or have a value, 'smiling+age:0.3'. None asks
        for all in turn: None again where labels are vectors.

        Raises GantoolError, which says that they are asked `of` it, for an unknown one.
        """
        words = [wanted] if isinstance(wanted, int | str) else list(wanted or [])
        if not self.num:
            if wanted is not None:
                raise GantoolError(f"classes={wanted}: {of} is unconditional; train with model.conditional=true")
            return None
        if self.vectors is not None:
            return torch.stack([self._vector(str(word), of) for word in words]) if words else None
        return torch.tensor([self._class(word, of) for word in words] or list(range(self.num)))

    def _class(self, word: int | str, of: object) -> int:
        if str(word) in self.names:
            return self.names.index(str(word))
        if isinstance(word, str) or not 0 <= word < self.num:
            known = f" ({', '.join(self.names[:10])}{', ...' if self.num > 10 else ''})" if self.names else ""
            near = did_you_mean(str(word), self.names)
            raise GantoolError(f"classes={word}{near}: {of} knows classes 0 to {self.num - 1}{known}")
        return word

    def _vector(self, word: str, of: object) -> Tensor:
        made = torch.zeros(self.num)
        for part in word.split("+"):
            name, value = (part, "1") if part in self.names else part.rpartition(":")[::2]
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if name not in self.names or not math.isfinite(number):
                near = did_you_mean(part, self.names)
                raise GantoolError(
                    f"classes={word}{near}: labels of {of} are vectors of {', '.join(self.names[:20])}: ask for names, "
                    "joined by +, with a value where it is not 1, such as "
                    f"{self.names[0] if self.names else 'name'}:0.5"
                )
            made[self.names.index(name)] = number
        return made
