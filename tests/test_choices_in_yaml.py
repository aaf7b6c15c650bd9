"""A choice that a YAML file of one's own writes as the value of its group, where it would be one of the defaults; and
values of the wrong type, whichever the key."""

import re
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from composing import composed
from extent import some
from gantool.cli import main
from gantool.config import Written, read
from gantool.config.leaves import leaves
from gantool.errors import GantoolError
from runs import CONF

GROUPS = ["score", "dataset", "optimizer/schedule", "regularizer", "model"]
GROUPS += [str(path.relative_to(CONF)) for path in sorted(CONF.rglob("*")) if any(path.glob("*.yaml"))]
GROUPS = [group for group in dict.fromkeys(GROUPS) if group.split("/")[0] not in ("experiment", "hydra", "recipe")]
GROUPS = [group for group in GROUPS if not group.startswith("model/")]  # of what the game takes it says itself


@pytest.mark.parametrize("group", some(GROUPS, 5))
@pytest.mark.parametrize("none", some([False, True], 1))
def test_a_choice_in_yaml_names_the_line_that_makes_it(group: str, none: bool, in_tmp: Path, capfd) -> None:
    """And hides no other mistake; `none` is written as YAML's own null."""
    has_none = (CONF / group / "none.yaml").is_file()
    if none and group == "loss/top":
        return  # where null is a value
    choice = "none" if has_none else sorted((CONF / group).glob("*.yaml"))[0].stem
    value = None if none else choice
    written = value
    for name in reversed(group.split("/")):
        written = {name: written}
    mine = in_tmp / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text(f"# @package _global_\n{yaml.safe_dump(written)}init: 3\n")
    assert main(["train", "--config-dir=conf", "experiment=mine"]) == 1
    lines = capfd.readouterr().err.splitlines()
    key, told = group.replace("/", "."), "null" if none else choice
    typed = f"write {group}={choice}, in YAML" if "/" in group else "in YAML write"
    fix = f"{typed} defaults: [override /{group}: {choice}]" if has_none or not none else "leave the key out"
    wanted = "a valid number" if group == "loss/top" else "a group of keys, not a value"
    assert f"gantool train: error: {key}={told}: should be {wanted}; {fix}" in lines
    assert "gantool train: error: init=3: should be a valid string" in lines


@pytest.mark.parametrize("group", some(["regularizer", "score", "monitor"], 1))
def test_a_list_of_choices_in_yaml_is_told_where_it_belongs(group: str, in_tmp: Path, capfd) -> None:
    mine = in_tmp / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text(f"# @package _global_\n{group}: [a]\n")
    assert main(["train", "--config-dir=conf", "experiment=mine"]) == 1
    err = capfd.readouterr().err
    assert "; a list of choices is written defaults: [override /GROUP: LIST]" in err and err.count("\n") == 1


NETWORKS = ["model.generator", "model.discriminator"]
OTHERS = ["model.growth", "loss.constraint"]  # which need not be: null is no mistake


@pytest.mark.parametrize("key", [*NETWORKS, *OTHERS])
@pytest.mark.parametrize("value", ["mine", "3", "[1]"])
def test_a_part_is_a_group_of_keys(key: str, value: str, in_tmp: Path, capfd) -> None:
    refused_as_no_group(key, value, capfd)


@pytest.mark.parametrize("key", NETWORKS)
def test_a_network_is_not_null(key: str, in_tmp: Path, capfd) -> None:
    refused_as_no_group(key, "null", capfd)


def refused_as_no_group(key: str, value: str, capfd) -> None:
    """In one line."""
    assert main(["train", f"++{key}={value}"]) == 1
    err = capfd.readouterr().err
    assert err.startswith(f"gantool train: error: {key}") and ": should be a group of keys, not a " in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("value", some([{"a": 1}, "strange", ["b"], -7.5], 1))
def test_a_value_of_the_wrong_type_is_named_by_its_key(value: object) -> None:
    """And not by the types that it might have had."""
    cfg, _ = composed("loss=r3gan")
    found, all_leaves = set(), list(leaves(OmegaConf.to_container(cfg)))
    for start in range(10):  # several at once: each is told in its line
        wrong = cfg.copy()
        for key in all_leaves[start::10]:
            OmegaConf.update(wrong, key, value, merge=False)
        with pytest.raises(GantoolError) as error:
            read(wrong, Written())
        keys = [line.partition("=")[0] for line in str(error.value).splitlines()]
        assert not any(re.search(r"\.(int|float|str|bool|constrained|literal\[|list\[)", key) for key in keys), keys
        found.update(keys)
    assert len(found & set(all_leaves)) > 40
