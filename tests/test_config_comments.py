"""The comments behind keys, in the forms that YAML has."""

from gantool.config.comments import comments
from runs import CONF


def test_every_form_of_a_key() -> None:
    text = """# @package _global_
defaults: [a]  # not a key
plain: 1  # one
quoted: 'a # b'  # "two"
none:  # three
url: http://a#b
flow: {a: 1, b: [2]}  # four
block:  # five
  inner: {x: 1,
    y: 2}  # six
  list:  # seven
    - 1  # an item
  deep: ${a.b}  #eight
text: |
  a  # no comment
last: [1, 2]
"""
    assert comments(text) == {
        "plain": "one",
        "quoted": '"two"',
        "none": "three",
        "flow": "four",
        "block": "five",
        "block.inner": "six",
        "block.list": "seven",
        "block.deep": "eight",
    }
    assert comments("a: 1  # b", "model.latent") == {"model.latent.a": "b"}
    assert comments("") == comments("# only a comment") == comments("- 1  # list") == {}


def test_every_file_of_conf_can_be_read() -> None:
    for path in CONF.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert all(f"# {comment}" in text for comment in comments(text).values()), path
