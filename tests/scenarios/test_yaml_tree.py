"""YAML as plain values with lines, and the YAML that is refused."""

from __future__ import annotations

import pytest

from scenarios import yaml_tree
from scenarios.errors import MalformedStoryError
from scenarios.yaml_tree import DEPTH_MAX, read_tree

TEXT = """\
# A comment.
name: on
limits: &limits
  cpus: 0.5
  size: "512"
list:
  - 1
  - {a: 1e3, b: ~}
more:
  <<: *limits
  cpus: 2
long:
  text that goes
  on
"""


def test_values_are_plain_and_follow_yaml_1_2() -> None:
    """Words stay words, numbers are numbers, quoted numbers are text, and a merged key gives way to an own one."""
    expected = {
        "name": "on",
        "limits": {"cpus": 0.5, "size": "512"},
        "list": [1, {"a": 1000.0, "b": None}],
        "more": {"cpus": 2, "size": "512"},
        "long": "text that goes on",
    }

    assert expected == read_tree(TEXT, "t").value


def test_every_key_and_value_knows_its_line() -> None:
    """Lines are those of the key and of the value, and a merged value has the line where it is written."""
    lines = read_tree(TEXT, "t").lines

    assert (2, 2) == lines["name",]
    assert (3, 3) == lines["limits",]
    assert (4, 4) == lines["limits", "cpus"]
    assert (7, 7) == lines["list", 0]
    assert (8, 8) == lines["list", 1, "a"]
    assert (11, 11) == lines["more", "cpus"]
    assert (5, 5) == lines["more", "size"]
    assert (12, 13) == lines["long",]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("0777", "0777"),
        ("0o17", "0o17"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2026-01-11", "2026-01-11"),
        ("-5", -5),
        ("+.5", 0.5),
        ("9" * 40, "9" * 40),
        ("=", "="),
        ("", None),
    ],
)
def test_scalars_hold_no_surprises(text: str, value: object) -> None:
    """Old YAML's booleans, octals, sexagesimals and dates are text, which the readers then judge."""
    found = read_tree(f"a: {text}", "t").value["a"]

    assert (value, type(value)) == (found, type(found))


REFUSED = {
    "a: 1\nb:\n\tc: 1\n": "t:3: is not valid YAML: there is a tab; indent with spaces",
    "a: 1\nb: 2\na: 3\n": "t:3: a is here a second time (first on line 1); remove one",
    "a:\n  b: {c: 1,\n      c: 2}\n": "t:3: c is here a second time (first on line 2); remove one",
    "a: 1\n---\nb: 1\n": "t:2: holds several YAML documents; keep one, without another `---`",
    "a: b: c\n": "t:1: is not valid YAML: mapping values are not allowed here; check the indentation, and quote text "
    "that holds `: `",
    "a: [1, 2\nb: 3\n": "t:2: is not valid YAML: expected ',' or ']', but got ':'",
    "a: *b\n": "t:1: is not valid YAML: found undefined alias 'b'",
    "a: x\0\n": "t:1: holds the character U+0000, which YAML forbids",
    "ok: 1\na: \x1b[31m\n": "t:2: holds the character U+001B, which YAML forbids",
    'a: "\\ud800"\n': "t:1: holds half of a surrogate pair (an escape such as \\ud800), which is no character",
    'a: "\\UFFFFFFFF"\n': "t:1: is not valid YAML: an escape or a %YAML version in it is out of range",
    "a:\n  !!python/object:os.system x\n": "t:2: carries the YAML tag tag:yaml.org,2002:python/object:os.system; a "
    "scenario needs none, remove it",
    "a: !!set {b, c}\n": "t:1: carries the YAML tag tag:yaml.org,2002:set; a scenario needs none, remove it",
    "? [a]\n: 1\n": "t:1: has a list or mapping as a key; a key must be a word",
    "a: &a [*a]\n": f"t:1: nests more than {DEPTH_MAX} levels deep, or an alias refers to itself",
    "a: &a {<<: *a}\n": f"t:1: nests more than {DEPTH_MAX} levels deep, or an alias refers to itself",
    "a: {<<: 5}\n": "t:1: merges with << what is no mapping; name an anchored mapping: <<: *limits",
    "[" * 100: f"t:1: is not valid YAML: nested more than {DEPTH_MAX} levels deep",
}


@pytest.mark.parametrize(("text", "complaint"), REFUSED.items(), ids=range(len(REFUSED)))
def test_yaml_that_no_story_needs_is_refused_in_one_line(text: str, complaint: str) -> None:
    """The complaint names the line, what is wrong there, and where it can be said, the cure."""
    with pytest.raises(MalformedStoryError) as caught:
        read_tree(text, "t")

    assert complaint == str(caught.value)


def test_a_text_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Composing stops at the limit, whatever is still to come."""
    monkeypatch.setattr(yaml_tree, "NODES_COUNT_MAX", 50)
    with pytest.raises(MalformedStoryError) as caught:
        read_tree("- 1\n" * 60, "t")

    assert str(caught.value).endswith("is not valid YAML: more than 50 values")


def _bomb(first: str, next_of: str) -> str:
    lines = [f"a: &a {first}"]
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True):
        lines.append(f"{name}: &{name} {next_of.format(', '.join([f'*{before}'] * 9))}")
    return "\n".join(lines)


@pytest.mark.parametrize("text", [_bomb("[1]", "[{}]"), _bomb("{k: 1}", "{{<<: [{}]}}")])
def test_an_alias_bomb_does_not_go_off(text: str) -> None:
    """A few lines that expand to billions of values are refused after the first hundred thousand."""
    with pytest.raises(MalformedStoryError) as caught:
        read_tree(text, "t")

    assert str(caught.value).endswith("expands to more than 100,000 values through its aliases")


def test_nothing_is_none() -> None:
    """A file of comments alone holds no value."""
    assert read_tree("# Only this.\n", "t").value is None


@pytest.mark.timeout(10)
def test_merges_of_the_same_keys_over_and_over_are_refused() -> None:
    """Merged keys that give way cost time too, so they count as values."""
    keys = ", ".join(f"k{number}: 1" for number in range(5000))
    text = f"a: &a {{{keys}}}\n" + "b: {<<: [" + ", ".join(["*a"] * 5000) + "]}\n"
    with pytest.raises(MalformedStoryError) as caught:
        read_tree(text, "t")

    assert str(caught.value).endswith("expands to more than 100,000 values through its aliases")
