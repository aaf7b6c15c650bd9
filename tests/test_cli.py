"""The command line: every user error is one line with an exit code, and leaves nothing behind."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from extent import thorough
from gantool.cli import main
from gantool.cli.main import COMMANDS, COMPOSED, OTHERS
from gantool.lock import locked
from runs import choices
from stand_in import runs

pytestmark = pytest.mark.usefixtures("stand_in")

ONE_LINERS = [
    ("optimizer.lrr=1", "unknown key 'optimizer.lrr' (did you mean 'lr'?): torch.optim.Adam takes no such argument"),
    ("trainer.sed=1", "unknown key 'trainer.sed' (did you mean 'seed'?)"),
    ("modell=dcgan", "unknown key 'modell' (did you mean 'model'?)"),
    ("classes=zebra", "unknown key 'classes'; classes= is a key of gantool sample, interpolate"),
    ("model=dcgann", "no 'dcgann' in config group 'model' (did you mean 'dcgan'?); choices: "),
    ("experiment=nothing-like-it", "no 'nothing-like-it' in config group 'experiment'"),
    ("+experiment=nothing-like-it", "no 'nothing-like-it' in config group 'experiment'"),
    ("trainer=3", "trainer=3: trainer is a group; choices: default"),
    (
        "optimizer.lr=1,2",
        "optimizer.lr=1,2: several values need -m, which runs each; a list is written optimizer.lr=[1,2]",
    ),
    ("optimizer.lr=range(1,3)", "optimizer.lr=range(1,3): several values need -m, which runs each"),
    (
        "loss=wgan,hinge",
        "loss=wgan,hinge: several values need -m, which runs each; a list is written loss=[wgan,hinge]",
    ),
    ("kimg", "'kimg' cannot be read as key=value"),
    ("optimizer.lr={1", "'optimizer.lr={1' cannot be read as key=value"),
    ("--foo", "unrecognized arguments: --foo; --hydra-help lists the flags"),
    ("--config-dir=/nowhere", "Additional config directory '/nowhere' not found"),
    ("--config-name=nothing", "Cannot find primary config 'nothing'"),
    ("trainer.batch_size=0", "trainer.batch_size=0: should be greater than 0"),
    ("trainer.seed=${nothing}", "trainer.seed: Interpolation key 'nothing' not found"),
    ("hydra.run.dir=${nothing}", "hydra.run.dir: Interpolation key 'nothing' not found"),
    ("~model", "model is missing"),
    ("~loss", "loss is missing"),
    ("~dataset", "dataset is missing"),
    ("resume=nowhere", "resume=nowhere: no such folder"),
]


@pytest.mark.parametrize(("word", "start"), ONE_LINERS, ids=[word for word, _ in ONE_LINERS])
def test_a_user_error_is_one_line_and_leaves_nothing(
    word: str, start: str, in_tmp: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    assert main(["train", word]) == 1
    out, err = capfd.readouterr()
    assert err.startswith(f"gantool train: error: {start}")
    assert (out, err.count("\n")) == ("", 1)
    assert not list(in_tmp.iterdir())
    assert not recwarn.list


LONG = "x" * 300  # no file system has names of more than 255
TRAINED = ["", "model=", "trainer.", "loss.top=", "resume=", "-m model=mlp,"]
NAMED = [f"train {words}{LONG}{'=1' * (words in ('', 'trainer.'))}" for words in TRAINED]
NAMED += [f"{name} run={LONG}" for name in COMMANDS if name not in (*COMPOSED, "calibrate")]
NAMED += [f"runs {LONG}", f"diff {LONG} {LONG}", f"train model={LONG} --help"]


@pytest.mark.parametrize("line", NAMED, ids=[line.replace(LONG, "LONG") for line in NAMED])
def test_a_name_that_is_too_long_for_a_file_is_told_in_one_line(line: str, in_tmp: Path, capfd) -> None:
    assert main(line.split()) == 1
    err = capfd.readouterr().err
    assert re.match(r"gantool \w+: error: .*x{20,}", err) and err.count("\n") == 1
    assert not list(in_tmp.iterdir())


def test_a_choice_that_a_preset_does_not_fit_names_the_preset(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mine = in_tmp / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# @package _global_\naugment:\n  policy: [translation]\n")
    assert main(["train", f"--config-dir={in_tmp / 'conf'}", "experiment=mine", "augment=ada"]) == 1
    out, err = capfd.readouterr()
    assert err.startswith("gantool train: error: experiment=mine sets keys of a part that another choice")
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("flag", ["--help", "--info", "--cfg=job", "-m"])
def test_a_user_error_is_one_line_beside_flags(flag: str, in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "model=dcgann", flag]) == 1
    assert capfd.readouterr().err.startswith("gantool train: error: no 'dcgann'")
    assert not list(in_tmp.iterdir())


def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in ("train", "bench", "list"))
    assert main([]) == 2
    assert main(["--version"]) == 0
    capsys.readouterr()
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == (
        "gantool: error: unknown command 'trian' (did you mean 'train'?); "
        f"commands: {', '.join((*COMMANDS, *OTHERS))}\n"
    )


def test_help_shows_groups_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help", "trainer.batch_size=48"]) == 0
    out = capsys.readouterr().out
    assert "usage: gantool train" in out
    assert re.search(rf"\n  loss +{', '.join(choices('loss'))} \[non-saturating\]\n", out)
    assert "microbatch that fits [48]" in out and "[null]" in out


def test_help_shows_every_key_and_the_users_own(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_tmp / "mine" / "loss").mkdir(parents=True)
    (in_tmp / "mine" / "loss" / "own.yaml").write_text(
        "# Mine\ndefaults: [hinge, _self_]\nmargin: 2.0  # how far\ndeep: {a: [1, 2]}  # two\n"
    )
    words = ["train", "loss=own", "regularizer=[r1,l2]", "--config-dir=mine"]
    assert main([*words, "--help"]) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  "))
    assert main([*words, "--cfg", "job"]) == 0
    plain = yaml.safe_load(capsys.readouterr().out)
    keys = [key for key in leaves(plain) if not key.endswith("._partial_")]
    assert len(keys) > 60 and [key for key in keys if key not in told] == []
    assert told["loss.margin"] == "how far [2.0]" and told["loss.deep"] == "two" and told["loss.deep.a"] == "[[1,2]]"
    assert told["regularizer"].endswith("[[r1,l2]]") and "own" in told["loss"]
    assert told["trainer.seed"].endswith("[0]")


def leaves(node: object, prefix: str = "") -> list[str]:
    """Full keys of the values in plain containers; what is written as ${...} is one."""
    if not isinstance(node, dict) or not node:
        return [prefix]
    return [leaf for key, value in node.items() for leaf in leaves(value, f"{prefix}.{key}".strip("."))]


def test_help_is_quick() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "gantool", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.25  # 0.03 s on an idle machine; importing Hydra alone takes 0.15


def test_flags_and_overrides_in_any_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    (tmp_path / "mine" / "optimizer" / "own.yaml").write_text("# Mine\ndefaults: [adam, _self_]\nlr: 0.25\n")
    words = ["trainer.batch_size=8", "--config-dir", "mine", "model=mlp", "-m", "optimizer=own,adam"]
    assert main(["train", *words]) == 0
    out = capsys.readouterr().out
    assert "lr 0.25 batch 8 model gantool.networks.mlp.Generator" in out
    assert "lr 0.0005 batch 8" in out


def test_where_runs_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["train", "model=mlp"]) == 0
    (run,) = runs()
    assert run.name.endswith("-mlp-mnist-5k") and run.parent.parent == Path("outputs")
    assert sorted(path.name for path in run.iterdir()) == [".hydra", "checkpoints", "status.json"]
    monkeypatch.setenv("GANTOOL_OUTPUTS", "elsewhere")
    assert main(["train"]) == 0
    assert len(runs(Path("elsewhere"))) == 1
    assert main(["train", "hydra.run.dir=here/and/there"]) == 0
    assert Path("here/and/there/.hydra/config.yaml").exists()


def test_a_run_that_failed_at_once_leaves_no_folder(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "trainer.seed=14"]) == 1
    assert capfd.readouterr().err.splitlines() == [
        "gantool train: error: the data is not there",
        "gantool train: error: nor is the network",
    ]
    assert not list(in_tmp.iterdir())
    Path("kept/empty").mkdir(parents=True)
    for folder in ("kept/empty", "kept/new"):
        assert main(["train", "trainer.seed=14", f"hydra.run.dir={folder}"]) == 1
    assert list(Path("kept").iterdir()) == [Path("kept/empty")]


def test_a_bug_keeps_its_traceback(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["train", "trainer.seed=13"]) == 1
    err = capfd.readouterr().err
    assert err.rstrip().endswith("RuntimeError: a bug")
    assert "stand_in.py" in err and "hydra" not in err
    assert main(["train", "trainer.seed=19"]) == 1  # an OmegaConf error in the command is a bug too
    assert "Traceback" in capfd.readouterr().err
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert main(["train", "trainer.seed=14"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_a_run_that_failed_later_says_so_in_its_status() -> None:
    assert main(["train", "trainer.seed=15", "hydra.run.dir=run"]) == 1
    status = json.loads(Path("run/status.json").read_text())
    assert (status["state"], status["error"]) == ("failed", "RuntimeError: a later bug")
    assert status["progress"] == {"nimg": 2000}


@pytest.mark.parametrize("seed", [15, 17, 18, 20])
def test_what_another_process_trains_is_that_ones_to_tell_of(seed: int) -> None:
    """A second command ends in whatever way, once the one that trains has written its status."""
    with locked(Path("run/.lock")):
        assert main(["train", f"trainer.seed={seed}", "hydra.run.dir=run"]) in (1, 130)
    status = json.loads(Path("run/status.json").read_text())
    assert (status["state"], status["error"]) == ("running", None)
    main(["train", f"trainer.seed={seed}", "hydra.run.dir=run"])
    after = {15: "failed", 17: "stopped", 18: "failed", 20: "running"}  # the other may have ended since
    assert json.loads(Path("run/status.json").read_text())["state"] == after[seed]


@pytest.mark.parametrize(("seed", "code"), [(16, 143), (17, 130)])
def test_exit_codes_pass_through(seed: int, code: int) -> None:
    assert main(["train", f"trainer.seed={seed}"]) == code


def test_a_part_that_calls_exit_has_failed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "trainer.seed=18", "hydra.run.dir=run"]) == 1
    assert capfd.readouterr().err == "gantool train: error: a part called exit(3)\n"
    assert json.loads(Path("run/status.json").read_text())["state"] == "failed"


@thorough
def test_ranks_agree_on_the_run_folder(tmp_path: Path) -> None:
    """Two processes of torchrun, the second half a second late."""
    script = tmp_path / "ranks.py"
    script.write_text(
        "import os, sys, time, types\n"
        "from gantool.cli.main import COMMANDS, main\n"
        "from hydra.core.hydra_config import HydraConfig\n"
        "module = sys.modules['stand_in'] = types.ModuleType('stand_in')\n"
        "module.train = lambda cfg: open(HydraConfig.get().runtime.output_dir + '/rank' + os.environ['RANK'], 'w')\n"
        "COMMANDS['train'] = ('stand_in:train', '')\n"
        "time.sleep(1.5 * int(os.environ['RANK']))\n"
        "sys.exit(main(['train']))\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    subprocess.run([*torchrun, str(script)], check=True, capture_output=True, timeout=120)
    (run,) = (path.parent for path in Path("outputs").rglob("rank0"))
    assert (run / "rank1").exists()
