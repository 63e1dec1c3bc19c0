"""Files and names: what is found, and what cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import scenarios
from scenarios import Loaded, ScenarioError, Story, load, load_text
from scenarios.errors import MalformedStoryError, StoryNotFoundError, UnreadableStoryError
from scenarios.load import library_names

SMALL = """\
purpose: One agent computes.
duration: 5s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {box: {}}
agents: {worker: {think: 100ms, steps: [{compute: 20ms}]}}
"""

LIBRARY = f"the library has {', '.join(library_names())}"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with one small scenario in it."""
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_public_names_are_sorted_and_there() -> None:
    """What `__all__` promises is what the package has."""
    assert sorted(scenarios.__all__) == scenarios.__all__
    assert [] == [name for name in scenarios.__all__ if not hasattr(scenarios, name)]


def test_a_path_gives_the_story_its_file_and_its_text(folder: Path) -> None:
    """The story is called by the file's name without its ending."""
    loaded = load("small.yaml")

    assert isinstance(loaded, Loaded)
    assert ("small", Path("small.yaml"), SMALL) == (loaded.story.name, loaded.path, loaded.text)


@pytest.mark.parametrize("ending", [".yaml", ".yml", ".txt", ""])
def test_any_ending_will_do(folder: Path, ending: str) -> None:
    """A file is a scenario because of what is in it."""
    (folder / f"other{ending}").write_text(SMALL, encoding="utf-8")

    assert "other" == load(folder / f"other{ending}").story.name


def test_a_library_name_needs_no_path(folder: Path) -> None:
    """From any directory the stories that ship are found by name."""
    assert "agent-ecology" == load("agent-ecology").story.name


def test_a_file_named_like_a_library_story_is_reached_by_its_path(folder: Path) -> None:
    """The bare name means the library; a path means the file."""
    (folder / "agent-ecology.yaml").write_text(SMALL, encoding="utf-8")

    assert "One agent computes." == load("agent-ecology.yaml").story.purpose
    assert "One agent computes." != load("agent-ecology").story.purpose


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            "agent-ecolgy",
            "agent-ecolgy: there is no such file, and no library story of that name; did you mean agent-ecology? "
            + LIBRARY,
        ),
        ("none.yaml", "none.yaml: there is no such file, and no library story of that name; " + LIBRARY),
        ("", '"": there is no such file, and no library story of that name; ' + LIBRARY),
        ("a\0b", "a\\x00b: there is no such file, and no library story of that name; " + LIBRARY),
        (
            "x" * 500,
            f"{'x' * 197}...: there is no such file, and no library story of that name; {LIBRARY}",
        ),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(folder: Path, given: str, complaint: str) -> None:
    """A close match is offered, and the whole library."""
    with pytest.raises(StoryNotFoundError) as caught:
        load(given)

    assert complaint == str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "bad.yaml: is empty; a scenario starts with its purpose"),
        (b"# Nothing.\n", "bad.yaml: is empty; a scenario starts with its purpose"),
        (b"\xff\xfep\0", "bad.yaml: is not UTF-8 text (byte 0xff at 0); save it as UTF-8"),
        (b"purpose: caf\xe9", "bad.yaml: is not UTF-8 text (byte 0xe9 at 12); save it as UTF-8"),
        (b"#" * (1024**2 + 1), "bad.yaml: is larger than 1 MiB, which no scenario is"),
    ],
)
def test_a_file_that_is_no_text_is_refused(folder: Path, content: bytes, complaint: str) -> None:
    """One line says what the file is."""
    (folder / "bad.yaml").write_bytes(content)
    with pytest.raises(UnreadableStoryError) as caught:
        load("bad.yaml")

    assert complaint == str(caught.value)


@pytest.mark.parametrize("content", ["- 1\n", "word\n", "5\n"])
def test_a_file_that_holds_no_mapping_is_refused(folder: Path, content: str) -> None:
    """A list or a word is YAML and no scenario."""
    (folder / "bad.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(MalformedStoryError) as caught:
        load("bad.yaml")

    expected = "bad.yaml:1: does not hold a mapping; a scenario is keys with values, and the first is its purpose"
    assert expected == str(caught.value)


def test_directories_devices_and_broken_links_are_refused(folder: Path) -> None:
    """Only a regular file is read, so nothing can block or never end."""
    (folder / "inside").mkdir()
    (folder / "broken.yaml").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    expected = {
        "inside": "inside: is a directory; name one scenario file in it",
        "broken.yaml": "broken.yaml: is not a regular file; save the scenario to one",
        "pipe": "pipe: is not a regular file; save the scenario to one",
        os.devnull: "/dev/null: is not a regular file; save the scenario to one",
    }
    found = {}
    for given in expected:
        with pytest.raises(UnreadableStoryError) as caught:
            load(given)
        found[given] = str(caught.value)

    assert expected == found


def test_an_unreadable_file_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system's reason is passed on."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableStoryError) as caught:
        load("small.yaml")

    assert "small.yaml: cannot be read: Permission denied" == str(caught.value)


def test_windows_text_is_read_as_well(folder: Path) -> None:
    """A byte-order mark and carriage returns are no reason to refuse."""
    (folder / "small.yaml").write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())

    assert "One agent computes." == load("small.yaml").story.purpose


def test_a_file_inside_the_current_directory_is_named_as_briefly_as_possible(folder: Path) -> None:
    """A full path is cut to what one would type here; a file elsewhere keeps its path."""
    (folder / "bad.yaml").write_text("a: 1\n", encoding="utf-8")
    with pytest.raises(ScenarioError) as here:
        load(folder / "bad.yaml")
    (folder / "deep").mkdir()
    os.chdir(folder / "deep")
    with pytest.raises(ScenarioError) as elsewhere:
        load(folder / "bad.yaml")

    assert {"bad.yaml"} == {problem.source for problem in here.value.problems}
    assert {str(folder / "bad.yaml")} == {problem.source for problem in elsewhere.value.problems}


def test_text_is_loaded_without_a_file() -> None:
    """An editor's text needs no file, and the same text gives an equal story."""
    story = load_text(SMALL, "typed")

    assert isinstance(story, Story)
    assert story == load_text(SMALL, "typed")


def test_importing_the_package_stays_cheap() -> None:
    """Commands that load no story pay for neither pydantic nor PyYAML, nor for any science."""
    code = "import sys, scenarios; print(sorted({'pydantic', 'yaml', 'scipy', 'pandas', 'numpy'} & set(sys.modules)))"
    root = Path(scenarios.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

    assert "[]\n" == done.stdout
