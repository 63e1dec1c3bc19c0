"""The files on a file system: whole pages, a limit, a file per agent."""

from __future__ import annotations

from sim.physics.files import AgentFiles

PAGE = 4096


def test_a_byte_takes_a_page() -> None:
    """What is written counts in whole pages, and the last page of a file is filled before another is taken."""
    files = AgentFiles(None)
    files.append("w/0", 1)
    assert PAGE == files.used_bytes

    assert 0 == files.growth_bytes("w/0", PAGE - 1)
    assert PAGE == files.growth_bytes("w/0", PAGE)


def test_what_fits_is_told_to_the_last_byte() -> None:
    """Free pages and the rest of the file's own last page are room; another file has only the free pages."""
    files = AgentFiles(3 * PAGE)
    files.append("w/0", PAGE + 1)

    assert 2 * PAGE - 1 == files.fitting_bytes("w/0", 10 * PAGE)
    assert PAGE == files.fitting_bytes("w/1", 10 * PAGE)


def test_a_limit_is_rounded_up_to_pages() -> None:
    """The kernel gives whole pages, so a limit of one byte has room for one of them."""
    assert PAGE == AgentFiles(1).fitting_bytes("w/0", 10 * PAGE)


def test_erasing_frees_one_file() -> None:
    """An agent's file goes, those of others stay; a second time there is nothing to free."""
    files = AgentFiles(None)
    files.append("w/0", 2 * PAGE)
    files.append("w/1", PAGE)

    assert [2 * PAGE, 0] == [files.erase("w/0"), files.erase("w/0")]
    assert PAGE == files.used_bytes
