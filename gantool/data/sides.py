"""Where the two sides of a data set lie."""

from pathlib import Path

from gantool.data.source import data_folder
from gantool.errors import GantoolError


def side_folders(
    root: str | None, a: str | None, b: str | None, test_a: str | None, test_b: str | None
) -> dict[str, tuple[str, Path]]:
    """The folders of both sides by part, each with the key that names it in messages; test folders where there are any.

    Raises GantoolError where one that is needed is missing.
    """
    if root is None and not (a and b):
        raise GantoolError("two sides are needed: dataset.root= with trainA and trainB, or dataset.a= and dataset.b=")
    given = {"train_a": a, "train_b": b, "test_a": test_a, "test_b": test_b}
    keys = {"train_a": "dataset.a", "train_b": "dataset.b", "test_a": "dataset.test_a", "test_b": "dataset.test_b"}
    names = {"train_a": "trainA", "train_b": "trainB", "test_a": "testA", "test_b": "testB"}
    found = {}
    for part, value in given.items():
        if value is not None:
            found[part] = (keys[part], data_folder(value))
        elif root is not None:
            found[part] = ("dataset.root", data_folder(root) / names[part])
    for part, (key, folder) in list(found.items()):
        if folder.is_dir():
            continue
        if part.startswith("train") or given[part] is not None:
            raise GantoolError(
                f"{key}={folder} is not a folder: dataset.root= should hold trainA and trainB, or set {keys[part]}="
            )
        del found[part]
    if root is not None and not any((data_folder(root) / name).is_dir() for name in names.values()):
        raise GantoolError(f"dataset.root={root} holds none of {', '.join(names.values())}: leave it out")
    if ("test_a" in found) != ("test_b" in found):
        there, other = ("test_a", "test_b") if "test_a" in found else ("test_b", "test_a")
        raise GantoolError(f"{found[there][1]} is one side of a test set: name the other with {keys[other]}=FOLDER")
    return found


def split_folders(root: str | None) -> dict[str, Path]:
    """root/train, or root itself, and root/test or root/val if there is one."""
    folder = data_folder(root)
    if not folder.is_dir():
        raise GantoolError(f"dataset.root={root} is not a folder: set it to the folder of your images")
    parts = [name for name in ("test", "val") if (folder / name).is_dir()]
    if not (folder / "train").is_dir():
        if parts:
            raise GantoolError(f"dataset.root={root} holds {parts[0]} and no train: move the training pairs into train")
        return {"train": folder}
    return {"train": folder / "train", **({"test": folder / parts[0]} if parts else {})}
