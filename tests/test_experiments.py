"""Every preset in conf/experiment composes, builds and trains a few rounds on the real files of its data set."""

from pathlib import Path

import pytest

from extent import some
from gantool.cli.main import main
from presets import PRESETS, small_preset
from runs import newest


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where data sets are unpacked, once for all presets."""
    return tmp_path_factory.mktemp("unpacked")


@pytest.mark.parametrize("preset", some(PRESETS, 3))
def test_a_preset_trains(preset: str, shared_data: Path, unpacked: Path, in_tmp: Path) -> None:
    assert main(small_preset(preset, in_tmp / "run", shared_data, unpacked)) == 0
    assert all(value.isfinite().all() for value in newest(in_tmp / "run")["game"].values())
