"""The wheel holds the configuration and works away from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gantool.paths import cache_dir, conf_dir

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a wheel built from an sdist of this checkout, unpacked."""
    built = tmp_path_factory.mktemp("built")
    for target, source in (("sdist", ROOT), ("wheel", None)):
        if source is None:
            (archive,) = built.glob("*.tar.gz")
            subprocess.run(["tar", "-xzf", archive, "-C", built], check=True)
            (source,) = (path for path in built.iterdir() if path.is_dir())
        build = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(built)]
        subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def run(site: Path, *words: str) -> str:
    """What the gantool in `site` prints, started from the root of the file system."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-m", "gantool", *words], cwd="/", env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_the_wheel_ships_every_yaml(site: Path) -> None:
    shipped = {path.relative_to(site / "gantool" / "conf") for path in (site / "gantool" / "conf").rglob("*.yaml")}
    assert shipped == {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    assert not (site / "tests").exists()
    assert len(list(site.glob("*.dist-info/licenses/LICENSE"))) == 1


def test_the_wheel_ships_everything_that_is_no_python(site: Path) -> None:
    files = [path.relative_to(ROOT) for path in (ROOT / "gantool").rglob("*") if path.is_file()]
    data = [path for path in files if path.suffix not in (".py", ".pyc")]
    assert {".safetensors", ".html"} <= {path.suffix for path in data}
    assert [path for path in data if not (site / path).is_file()] == []


def test_the_wheel_works_from_anywhere(site: Path) -> None:
    assert str(site / "gantool" / "conf") in run(site, "train", "--info", "searchpath")
    assert "discriminator_norm: spectral" in run(site, "train", "--cfg", "job")
    assert "wgan-gp" in run(site, "list", "loss")


def test_conf_is_that_of_the_checkout() -> None:
    assert (conf_dir() / "train.yaml").is_file()


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", "~/elsewhere")
    assert cache_dir() == Path.home() / "elsewhere"
    monkeypatch.delenv("GANTOOL_CACHE")
    assert cache_dir() == Path.home() / ".cache" / "gantool"
