"""What helps to type a command: gantool list and tab completion."""

from pathlib import Path

import pytest

from gantool.cli import main
from gantool.commands.list import first_comment
from gantool.paths import conf_dir

pytestmark = pytest.mark.usefixtures("stand_in")


def test_every_choice_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    groups = [line for line in lines if not line.startswith(" ")]
    assert {"model", "loss", "optimizer", "dataset", "optimizer/schedule"} <= set(groups)
    assert [line for line in lines if line.startswith(" ") and len(line.split()) < 2] == []


def test_list_of_one_group_and_of_the_users_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "mine" / "loss" / "own.yaml").write_text("# @package _global_\n\n# Mine\na: 1\n")
    assert main(["list", "loss", "--config-dir", "mine"]) == 0
    lines = [line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines()]
    assert ["own", "Mine"] in lines
    assert ["hinge", first_comment(conf_dir() / "loss" / "hinge.yaml")] in lines
    assert main(["list", "lsos"]) == 1
    assert "no group 'lsos' (did you mean 'loss'?)" in capfd.readouterr().err


def test_models_are_listed_with_what_their_presets_reached_and_what_was_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = tmp_path / "experiment" / "mine.yaml"
    preset.parent.mkdir()
    preset.write_text("# @package _global_\n# Mine\n# measured here: 7\ndefaults:\n  - override /model: mlp\n")
    assert main(["list", "model", f"--config-dir={tmp_path}"]) == 0
    figures: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines()[1:]:
        if line[2] != " ":
            figures[line.split()[0]] = []
        else:
            figures[list(figures)[-1]].append(line.strip())
    assert figures["mlp"][-1] == "experiment=mine: measured here: 7"
    assert figures.pop("infogan-mnist") == []  # its only preset takes hours without a GPU
    for model, lines in figures.items():
        assert any("measured here: " in line for line in lines), f"{model} shows that it learns"
    assert any(line.startswith("experiment=cifar10/sngan: published: FID") for line in figures["resnet"])
    assert main(["list", "experiment"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    after = lines[next(i for i, line in enumerate(lines) if line.startswith("cifar10/sngan")) + 1]
    assert after.startswith("published: FID 21.7")


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("gantool ", {"train", "bench", "list"}),
        ("gantool tr", {"train"}),
        ("gantool train mo", {"model=", "model."}),
        ("gantool train model=", {"model=dcgan", "model=mlp"}),
        ("gantool train loss=wgan-gp loss.n", {"loss.n_critic="}),
        ("gantool sample fo", {"format="}),
        ("gantool evaluate feat", {"features="}),
        ("gantool evaluate features=inception feat", {"features=", "features."}),
        ("gantool evaluate features=", {"features=inception"}),
        ("gantool list ", {"loss", "dataset"}),
    ],
)
def test_completion(
    line: str, offers: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert main(["-sc", "query=bash"]) == 0
    assert offers <= set(capsys.readouterr().out.split())


def test_completion_installs_for_gantool(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-sc", "install=bash"]) == 0
    assert "complete -o nospace -F _gantool gantool" in capsys.readouterr().out


def test_experiments_are_listed_and_found_by_folder_and_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "experiment"]) == 0
    assert "cifar10/dcgan" in capsys.readouterr().out
    assert main(["train", "experiment=cifar10/dcgn"]) == 1
    assert "no 'cifar10/dcgn' in config group 'experiment' (did you mean 'cifar10/dcgan'?)" in capsys.readouterr().err
