"""study.storage=postgresql://...: one study for processes without a shared disk, on a server of this test's own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from extent import some, thorough
from gantool.cli.main import main
from gantool.config.schema import StudyConfig
from gantool.errors import GantoolError
from gantool.sweeps.results import read_results
from gantool.sweeps.storage import alone, storage_of
from gantool.sweeps.study import ask, open_study
from processes import Process
from test_study import RATE, SETTINGS, searching, space
from test_sweeps_launched import wait_for

pytest.importorskip("psycopg", reason="no driver of PostgreSQL")
PASSWORD = "se'c@ret"
TYPED = "se%27c%40ret"  # as a part of an address
CLOSED = "127.0.0.1:9"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """HOST:PORT of a server with the user gan, whose data base is empty."""
    places = [shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    if not (found := [place for place in places if place]):
        pytest.skip("no PostgreSQL server (apt-get install postgresql)")
    binaries, folder = Path(found[0]).resolve().parent, Path(tempfile.mkdtemp())
    user, group = ("nobody", "nogroup") if os.getuid() == 0 else (None, None)  # a server refuses to be root's
    if user and group:
        shutil.chown(folder, user, group)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def do(*words: str) -> None:
        command, quiet = [binaries / words[0], *words[1:]], subprocess.DEVNULL
        subprocess.run(command, check=True, stdout=quiet, cwd=folder, user=user, group=group)

    data, options = str(folder / "data"), f"-p {port} -h 127.0.0.1 -k {folder} -F"
    try:
        login = [f"--pwfile={folder / 'password'}", "--auth=scram-sha-256", "-U", "gan"]
        do("initdb", "-N", "-D", data, "--locale=C", "-E", "UTF8", *login)
        do("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
        yield f"127.0.0.1:{port}"
        do("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command line leaves in this process's environment goes with the test."""
    monkeypatch.setenv("PGPASSWORD", "")
    monkeypatch.delenv("PGPASSWORD")


WRONG = {
    "gan:{password}@{server}/nowhere": r'\(.*database "nowhere" does not exist\)',
    "gan:wr%40ng@{server}/postgres": r'\(.*password authentication failed for user "gan"\); a password is taken from',
    "gan@{server}/postgres": r"\(.*no password supplied\); a password is taken from PGPASSWORD or ~/.pgpass",
    "gan:{password}@" + CLOSED + "/postgres": r"\(.*Connection refused\)",
    "gan:{password}@host.invalid/postgres": r"\(.*host.invalid.*\)",
}


@pytest.mark.parametrize("address", WRONG)
def test_a_server_that_cannot_be_used_is_told_in_a_line(
    address: str, server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    word = f"study.storage=postgresql://{address.format(server=server, password=TYPED)}"
    assert main(searching(tmp_path / "search", RATE, word)) == 1
    err = capfd.readouterr().err
    shown = re.escape(re.sub(r":[^/]*@", "@", word))
    assert re.fullmatch(rf"gantool train: error: {shown}: the study cannot be opened {WRONG[address]}.*\n", err), err
    assert TYPED not in err and PASSWORD not in err and "wr%40ng" not in err and not (tmp_path / "search").exists()


FORM = "should be postgresql://USER@HOST/DATABASE or sqlite:///FILE"
REFUSED = {
    "postgresql://gan@host/db?password={}": "its password would be written to files: set PGPASSWORD, or write it into",
    "postgresql://gan:a/{}@host/db": FORM,
    "redis://gan:{}@host/db": FORM,
    "postgresql://gan@host": FORM,
    "postgresql://gan@host:port/db": FORM,
}


@pytest.mark.parametrize("url", some(REFUSED, 3))
def test_an_address_that_is_none_is_refused(url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(searching(tmp_path / "search", RATE, f"study.storage='{url.format('hunter2')}'")) == 1
    err = capfd.readouterr().err
    assert f": {REFUSED[url]}" in err and err.count("\n") == 1 and "hunter2" not in err
    assert not (tmp_path / "search").exists()


def test_without_the_driver_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gantool.errors.find_spec", lambda name: None if name == "psycopg" else name)
    with pytest.raises(GantoolError, match=r"^study.storage=postgresql://a@b/c needs psycopg: pip .*gantool\[study\]"):
        open_study(tmp_path, "postgresql://a@b/c")


@thorough
def test_processes_without_a_shared_disk_ask_for_each_trial_once(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight folders that begin at once, on a data base without tables; as many connections as a server takes."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    url = f"postgresql://gan@{server}/template1"
    config = StudyConfig.model_validate(SETTINGS | {"trials": 20, "storage": url, "sampler": "random"})

    def take_part(machine: int) -> None:
        folder = tmp_path / str(machine) / "search"
        with alone(folder, url):
            study = open_study(folder, url, {"score": True})
        while True:
            with alone(folder, url):
                trial = ask(folder, config, space("x=interval(0,1)"))
            if trial is None:
                return
            study.tell(trial.number, float(trial.params["x"]))

    with ThreadPoolExecutor(8) as machines:
        list(machines.map(take_part, range(8)))
    trials = open_study(tmp_path / "0" / "search", url).get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 20
    assert len({trial.params["x"] for trial in trials}) == 20
    assert isinstance(storage_of(tmp_path, None), JournalStorage)


@thorough
def test_a_killed_trial_is_taken_up_and_no_file_has_the_password(server: str, in_tmp: Path) -> None:
    folder = in_tmp / "search"
    url = f"postgresql://gan:{TYPED}@{server}/postgres"
    words = [RATE, "study.trials=3", "trainer.duration=400it", "trainer.checkpoint_seconds=1e-9"]
    words = searching(folder, *words, f"study.storage={url}", "monitor.scores.every=800img", "study.pruner=median")
    first = Process(words, in_tmp / "first")
    wait_for(folder, "0-*/checkpoints/[0-9]*.pt")
    second = Process(words, in_tmp / "second")
    wait_for(folder, "1-*/checkpoints/[0-9]*.pt")
    first.send(signal.SIGKILL)
    said = second.wait(300)
    assert second.code == 0 and first.code == -signal.SIGKILL, said
    assert "trial 0 is gone: continuing the trial" in said and "going on at" in said
    results = read_results(folder)
    assert len(results) == 3 and {result.state for result in results} == {"finished"}
    assert "3 trials: 3 complete" in said and list(folder.glob("study-history-*.png"))
    for path in in_tmp.rglob("*"):
        text = path.read_bytes() if path.is_file() else b""
        assert TYPED.encode() not in text and PASSWORD.encode() not in text, path
