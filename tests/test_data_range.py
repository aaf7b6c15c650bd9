"""The range that an account advises, where little of the one that is told is used."""

import re
from pathlib import Path

import numpy as np
import pytest

from gantool.data.cache import prepare
from gantool.data.fitting import Fitting
from gantool.data.folder import Folder
from gantool.errors import GantoolError
from test_data_numbers import ramp, read


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


LITTLE = {  # what reaches little of the range that is told, and that range
    "12 bits": (ramp(200, np.uint16), [0, 4095]),
    "an offset": (ramp(100, np.float32) - 1000, [-1000, 3000]),
    "floats of 0 and 1": (ramp(0.01, np.float32), "full"),
    "a third": (ramp(1500, np.uint16), [0, 4095]),
    "16 bits of 32": (ramp(1500, np.uint32), "full"),
    "16 bits": (ramp(2000, np.uint16), None),
}


@pytest.mark.parametrize("kind", LITTLE)
def test_the_range_that_is_advised_is_one_that_is_used(kind: str, tmp_path: Path, capsys) -> None:
    values, told = LITTLE[kind]
    np.save(tmp_path / "a.npy", values)
    source = Folder(str(tmp_path), resolution=8, channels=1, fitting=Fitting(range=told))
    if kind == "a third":
        prepare(source)
        said = capsys.readouterr().err
        assert "no 16-bit image is bright: the largest value is 1500 where 0 is black and 4095 white" in said
    else:
        with pytest.raises(GantoolError, match="1 .*image would be nearly black, such as .*a.npy: ") as error:
            prepare(source, progress=False)
        said = str(error.value)
    advised = re.search(r"dataset\.range=\[(.*),(.*)\]", said)
    assert advised, said
    made = read(tmp_path, range=[float(advised[1]), float(advised[2])]).images
    assert made.min() == 0 and made.max() > 180
