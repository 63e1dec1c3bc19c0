"""A container's page cache: on which list a page is, which one goes first, and who waits for a dirty one."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import TYPE_CHECKING

import pytest

from sim.physics.disk import SimulatedDisk
from sim.physics.page_cache import PIECE_BYTES, RECORD_RATIO, WRITE_BACK_AGE_S, PageCache
from sim.physics.volume import SimulatedVolume
from tests.sim.physics.bench import MIB, ROUND

if TYPE_CHECKING:
    import simpy

    from sim.physics.page_cache import Key

# A second to write a MiB back.
SLOW = dataclasses.replace(ROUND, disk_read_s_per_byte=0.0, disk_write_s_per_byte=1 / MIB, disk_free_s_per_byte=0.0)
# The block records of a written MiB: 256 pages, 104 bytes each.
RECORDS = 26_624
KIB = 1024
FIRST, SECOND, THIRD, FOURTH = (("w/0", number) for number in range(4))
OTHER = ("w/1", 0)


@pytest.fixture(name="disk")
def _disk(env: simpy.Environment) -> SimulatedDisk:
    """A slow disk at rest."""
    return SimulatedDisk(SLOW, lambda: float(env.now))


@pytest.fixture(name="cache")
def _cache(disk: SimulatedDisk) -> PageCache:
    """A page cache with nothing in it, of a volume with nothing on it."""
    return PageCache(SimulatedVolume(), disk)


def sizes(cache: PageCache) -> tuple[int, int, int]:
    """Inactive pages, active pages, and block records."""
    return cache.inactive_bytes, cache.active_bytes, cache.record_bytes


def there(cache: PageCache, *keys: Key) -> list[int]:
    """How much of each of these pieces is in memory."""
    return [PIECE_BYTES - cache.missing_bytes(key, PIECE_BYTES) for key in keys]


def fetched(cache: PageCache, *keys: Key, times: int = 1) -> None:
    """Read whole pieces, from the disk what is not in memory."""
    for key in keys * times:
        cache.read(key, cache.missing_bytes(key, PIECE_BYTES))


# Two lists.


def test_what_is_written_is_inactive(cache: PageCache) -> None:
    """However often; its block records of 104 bytes a page are charged beside it."""
    cache.write(FIRST, KIB * 4)
    assert (4096, 0, 104) == sizes(cache)

    cache.write(FIRST, MIB - KIB * 4)
    assert (MIB, 0, RECORDS) == sizes(cache)
    assert MIB + RECORDS == cache.used_bytes


def test_what_was_written_is_active_when_it_is_read_twice(cache: PageCache) -> None:
    """The first reading leaves it where it is, the second moves it; its records stay with it."""
    cache.write(FIRST, MIB)
    seen = []
    for _ in range(3):
        cache.read(FIRST, 0)
        seen.append(sizes(cache))

    assert [(MIB, 0, RECORDS), (0, MIB, RECORDS), (0, MIB, RECORDS)] == seen


def test_what_was_fetched_is_active_when_it_is_read_again(cache: PageCache) -> None:
    """Fetching is its first reading; what is only read has no block records."""
    cache.read(FIRST, MIB)
    assert (MIB, 0, 0) == sizes(cache)

    cache.read(FIRST, 0)
    assert (0, MIB, 0) == sizes(cache)


def test_more_of_an_active_piece_is_active(cache: PageCache) -> None:
    """Whether it is written or fetched."""
    cache.write(FIRST, 4096)
    fetched(cache, SECOND, times=2)
    for _ in range(2):
        cache.read(FIRST, 0)
    cache.read(FIRST, 8192)
    cache.write(FIRST, 4096)

    assert (0, MIB + 16_384) == sizes(cache)[:2]
    assert [16_384, MIB] == there(cache, FIRST, SECOND)


def test_reading_what_has_no_room_leaves_nothing(cache: PageCache) -> None:
    """Where not a page could be kept, the next reading is a first one again, and nothing is there to give way."""
    cache.read(FIRST, 0)
    cache.write(SECOND, 0)
    assert (0, 0, 0) == sizes(cache)

    cache.read(FIRST, MIB)
    assert (MIB, 0, 0) == sizes(cache)
    cache.read(FIRST, 0)
    cache.shrink(1)
    assert (MIB - 1, 0, 0) == sizes(cache)


def test_each_agent_has_pages_of_its_own(cache: PageCache) -> None:
    """Pieces of the same number of two files are two pieces."""
    cache.write(FIRST, MIB)
    cache.read(OTHER, 4096)

    assert [MIB, 4096, 0] == [cache.file_bytes(agent) for agent in ("w/0", "w/1", "w/2")]
    assert [0, MIB - 4096, MIB] == [cache.missing_bytes(key, MIB) for key in (FIRST, OTHER, SECOND)]
    assert 0 == cache.missing_bytes(OTHER, 4096)


# Who gives way.


def test_the_oldest_inactive_page_goes_first_and_no_more_than_is_needed(cache: PageCache) -> None:
    """A piece and a half are asked for: the oldest goes whole, half of the next one stays."""
    fetched(cache, FIRST, SECOND, THIRD)
    cache.shrink(MIB + MIB // 2)

    assert [0, MIB // 2, MIB] == there(cache, FIRST, SECOND, THIRD)
    assert (MIB + MIB // 2, 0, 0) == sizes(cache)


def test_what_grows_becomes_young_and_what_is_read_once_does_not(cache: PageCache) -> None:
    """New pages stand at the young end of their list, with all of their piece; a first reading moves nothing."""
    cache.write(FIRST, MIB // 2)
    for key in (SECOND, THIRD):
        cache.write(key, MIB)
    cache.write(FIRST, MIB // 2)
    cache.read(SECOND, 0)
    cache.shrink(MIB)

    assert [MIB, 0, MIB] == there(cache, FIRST, SECOND, THIRD)


def test_records_go_with_their_pages(cache: PageCache) -> None:
    """Half of a written piece takes half of its records with it, which are room too."""
    cache.write(FIRST, MIB)
    cache.shrink(MIB // 2)
    assert (MIB // 2, 0, RECORDS // 2) == sizes(cache)

    cache.write(FIRST, MIB // 2)
    cache.write(SECOND, MIB)
    # What the first piece takes with it is less to be taken of the second one.
    cache.shrink(MIB + MIB // 2)
    assert [0, MIB // 2 + RECORDS] == there(cache, FIRST, SECOND)
    assert int((MIB // 2 + RECORDS) * 104 / 4096) == cache.record_bytes


def test_no_more_is_given_than_there_is(cache: PageCache) -> None:
    """All of it goes, and then nothing; who asks for nothing gets nothing."""
    cache.write(FIRST, MIB)
    fetched(cache, SECOND, THIRD, times=2)
    cache.shrink(0)
    assert 3 * MIB + RECORDS == cache.used_bytes

    for _ in range(2):
        cache.shrink(100 * MIB)
        assert (0, 0, 0) == sizes(cache)


def test_active_pages_are_spared_while_inactive_ones_are_no_fewer(cache: PageCache) -> None:
    """The oldest page of all stays, because it is active and there is as much that is not."""
    fetched(cache, FIRST, times=2)
    fetched(cache, SECOND, THIRD)
    cache.shrink(MIB)
    assert [MIB, 0, MIB] == there(cache, FIRST, SECOND, THIRD)

    cache.shrink(MIB)
    assert [MIB, 0, 0] == there(cache, FIRST, SECOND, THIRD)
    assert (0, MIB, 0) == sizes(cache)


def test_the_oldest_active_pages_become_inactive_while_there_are_more_of_them(cache: PageCache) -> None:
    """In the proportion of the lists: half a MiB of one inactive MiB goes, and of three active ones a half owes 1.5."""
    fetched(cache, FIRST, SECOND, THIRD, times=2)
    cache.read(FOURTH, MIB)
    cache.shrink(MIB // 2)
    assert (MIB + MIB // 2, 2 * MIB, 0) == sizes(cache)
    assert [MIB, MIB, MIB, MIB // 2] == there(cache, FIRST, SECOND, THIRD, FOURTH)

    # A third of 1.5 inactive MiB goes, and a third of two active ones, with the half that is still owed, makes one.
    cache.shrink(MIB // 2)
    assert (2 * MIB, MIB, 0) == sizes(cache)
    assert [MIB, MIB, MIB, 0] == there(cache, FIRST, SECOND, THIRD, FOURTH)

    cache.shrink(MIB)
    assert [0, MIB, MIB] == there(cache, FIRST, SECOND, THIRD)
    assert (MIB, MIB, 0) == sizes(cache)


def test_of_many_gibibytes_fewer_need_be_inactive(cache: PageCache) -> None:
    """Of five it is one part to seven: the root of fifty."""
    keys = [("w/0", number) for number in range(5300)]
    fetched(cache, *keys[:4600], times=2)
    fetched(cache, *keys[4600:])
    cache.shrink(42 * MIB)
    assert (658 * MIB, 4600 * MIB) == sizes(cache)[:2]

    # With less than a seventh of them inactive, active ones are no longer spared: seven for each that goes.
    cache.shrink(2 * MIB)
    assert (656 + 7) * MIB == cache.inactive_bytes


# Pages that come back.


def test_what_comes_back_soon_is_active(cache: PageCache) -> None:
    """One MiB went since it did, its own, and two are active; the older active ones give way for it."""
    fetched(cache, FIRST, SECOND, times=2)
    fetched(cache, THIRD, FOURTH)
    cache.shrink(MIB)
    fetched(cache, THIRD)
    assert (MIB, 3 * MIB, 0) == sizes(cache)

    # Half of what is inactive goes, and half of what is active becomes so, as far as whole pieces go.
    cache.shrink(MIB // 2)
    assert (MIB + MIB // 2, 2 * MIB, 0) == sizes(cache)
    fetched(cache, FIRST, times=2)
    assert 3 * MIB == cache.active_bytes


def test_what_comes_back_late_is_inactive(cache: PageCache) -> None:
    """More went since it did than is active, so that it could not have stayed anyhow."""
    fetched(cache, FIRST, times=2)
    fetched(cache, SECOND, THIRD, FOURTH)
    cache.shrink(2 * MIB)
    fetched(cache, SECOND)
    assert (2 * MIB, MIB, 0) == sizes(cache)

    # The third went later, and one MiB is just as much as is active.
    fetched(cache, THIRD)
    assert (2 * MIB, 2 * MIB, 0) == sizes(cache)


def test_what_came_back_is_forgotten_with_its_file(cache: PageCache) -> None:
    """A new file of the same name has no page that was there before."""
    cache.read(OTHER, MIB)
    fetched(cache, SECOND, times=2)
    cache.shrink(MIB)
    cache.drop("w/1")
    cache.read(OTHER, MIB)
    assert (MIB, MIB, 0) == sizes(cache)


def test_what_fitted_once_loses_its_hold_when_it_has_grown(cache: PageCache) -> None:
    """A file that is read from its beginning again and again grows beyond its room: in the end hardly any stays."""
    room_bytes, fetched_bytes = 8 * MIB, []
    for count in [*range(1, 13), *[12] * 20]:
        fetched_bytes.append(0)
        for number in range(count):
            key = ("w/0", number)
            missing_bytes = cache.missing_bytes(key, MIB)
            cache.shrink(max(0, cache.used_bytes + missing_bytes - room_bytes))
            cache.read(key, missing_bytes)
            fetched_bytes[-1] += missing_bytes

    assert [MIB] * 8 == fetched_bytes[:8]
    assert all(size_bytes > 10 * MIB for size_bytes in fetched_bytes[-10:])


def test_with_active_pages_alone_the_oldest_gives_way(cache: PageCache) -> None:
    """Of two, one becomes inactive, and a page of it goes."""
    fetched(cache, FIRST, SECOND, times=2)
    cache.shrink(4096)

    assert (MIB - 4096, MIB, 0) == sizes(cache)
    assert [MIB - 4096, MIB] == there(cache, FIRST, SECOND)


# Dirty pages.


def test_clean_pages_go_at_once(env: simpy.Environment, cache: PageCache, disk: SimulatedDisk) -> None:
    """What was only read is on the disk already, so nobody waits and the disk has nothing to do."""
    env.run(until=5.0)
    cache.read(FIRST, MIB)
    cache.shrink(MIB)

    assert (0.0, 0) == (cache.room_s, cache.dirty_bytes("w/0"))
    assert 6.0 == disk.write(MIB)


def test_dirty_pages_are_written_back_before_they_go(
    env: simpy.Environment, cache: PageCache, disk: SimulatedDisk
) -> None:
    """Who asked for room waits for the piece that goes, at a second a MiB; the others are written back behind it."""
    env.run(until=5.0)
    cache.write(FIRST, MIB)
    cache.write(SECOND, MIB // 2)
    cache.write(OTHER, MIB // 4)
    assert [MIB + MIB // 2, MIB // 4] == [cache.dirty_bytes(agent) for agent in ("w/0", "w/1")]

    cache.shrink(4096)
    assert 6.0 == cache.room_s
    # All of them are under way: what is asked of the disk now comes behind the last.
    assert 7.75 == disk.write(MIB)


def test_all_dirty_pages_are_under_way_in_the_order_in_which_they_would_go(
    env: simpy.Environment, cache: PageCache, disk: SimulatedDisk
) -> None:
    """The oldest inactive ones first, then the active ones; what was under way is not written again."""
    cache.write(FIRST, MIB)
    for _ in range(2):
        cache.read(FIRST, 0)
    cache.write(SECOND, MIB // 2)
    cache.write(THIRD, MIB)
    waited_s = []
    for size_bytes in (4096, MIB, MIB):
        cache.shrink(size_bytes)
        waited_s.append(cache.room_s)

    assert [0.5, 1.5, 2.5] == waited_s
    assert 3.5 == disk.write(MIB)


def test_what_is_written_back_goes_at_once(env: simpy.Environment, cache: PageCache) -> None:
    """Once the disk is done with it; the dirty ones become clean one after another."""
    cache.write(FIRST, MIB)
    cache.write(SECOND, MIB)
    cache.shrink(4096)
    dirty = [cache.dirty_bytes("w/0")]
    for until_s in (0.5, 1.0, 2.0):
        env.run(until=until_s)
        dirty.append(cache.dirty_bytes("w/0"))
    cache.shrink(2 * MIB)

    # The first piece was written back as long as it was, before a page of it went.
    assert [2 * MIB - 4096, 2 * MIB - 4096, MIB, 0] == dirty
    assert 1.0 == cache.room_s


def test_old_pages_are_clean(env: simpy.Environment, cache: PageCache, disk: SimulatedDisk) -> None:
    """After 30 s, and half of the 5 s between two looks at them, they are written back without anybody's waiting."""
    env.run(until=1.0)
    cache.write(FIRST, MIB)
    env.run(until=1.0 + WRITE_BACK_AGE_S - 0.001)
    before = cache.dirty_bytes("w/0")
    env.run(until=1.0 + WRITE_BACK_AGE_S)

    assert 32.5 == WRITE_BACK_AGE_S
    assert [MIB, 0] == [before, cache.dirty_bytes("w/0")]
    cache.shrink(MIB)
    assert 0.0 == cache.room_s
    assert 34.5 == disk.write(MIB)


def test_what_is_under_way_is_clean_when_the_disk_has_it(env: simpy.Environment, cache: PageCache) -> None:
    """However old it is by then."""
    cache.write(FIRST, MIB)
    env.run(until=32.0)
    cache.shrink(MIB)

    assert 33.0 == cache.room_s


def test_a_dirty_page_ages_from_its_first_write_and_a_clean_one_anew(env: simpy.Environment, cache: PageCache) -> None:
    """Writing on does not put off writing back; what was written back and is written to again is dirty again."""
    cache.write(FIRST, 4096)
    env.run(until=30.0)
    cache.write(FIRST, 4096)
    env.run(until=32.5)
    clean = cache.dirty_bytes("w/0")
    cache.write(FIRST, 4096)
    env.run(until=64.9)
    dirty = cache.dirty_bytes("w/0")
    env.run(until=65.0)

    assert [0, 12_288, 0] == [clean, dirty, cache.dirty_bytes("w/0")]


def test_what_becomes_dirty_while_there_is_writing_back_is_written_back_too(
    env: simpy.Environment, cache: PageCache, disk: SimulatedDisk
) -> None:
    """Behind what is under way, another piece or more of the same; once the disk is done, a new one is dirty again."""
    cache.write(FIRST, MIB // 2)
    cache.shrink(4096)
    cache.write(FIRST, MIB // 4)
    cache.write(SECOND, MIB)
    env.run(until=1.0)
    assert MIB == cache.dirty_bytes("w/0")

    env.run(until=1.75)
    assert 0 == cache.dirty_bytes("w/0")
    cache.write(THIRD, MIB)
    env.run(until=10.0)
    assert MIB == cache.dirty_bytes("w/0")
    assert 11.0 == disk.write(MIB)


# Files that go, and lives that end.


def test_a_file_that_is_gone_is_forgotten(cache: PageCache) -> None:
    """Inactive or active, dirty or clean, with its records; those of others stay."""
    cache.write(FIRST, MIB)
    fetched(cache, SECOND, times=2)
    cache.write(OTHER, MIB)
    cache.drop("w/0")
    assert (MIB, 0, RECORDS) == sizes(cache)
    assert [0, 0, MIB] == [cache.file_bytes("w/0"), cache.dirty_bytes("w/0"), cache.file_bytes("w/1")]
    assert [0, 0, MIB] == there(cache, FIRST, SECOND, OTHER)

    cache.drop("w/0")
    cache.drop("w/1")
    assert (0, 0, 0) == sizes(cache)


def test_what_is_in_memory_at_the_end_can_be_taken_over(cache: PageCache) -> None:
    """Inactive and active alike, each piece with what is there of it, and what is dirty with when it will not be."""
    fetched(cache, FIRST, SECOND, times=2)
    cache.write(OTHER, MIB)
    cache.shrink(4096)

    kept = {key: (size_bytes, clean_s) for key, size_bytes, clean_s in cache.abandon()}
    assert {FIRST: MIB, SECOND: MIB, OTHER: MIB - 4096} == {key: size_bytes for key, (size_bytes, _) in kept.items()}
    assert [True, True, False] == [kept[key][1] <= 0 for key in (FIRST, SECOND, OTHER)]


# Anything in any order.


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_sums_are_right(env: simpy.Environment, disk: SimulatedDisk, seed: int) -> None:
    """Nothing is negative, nothing is charged that was not let in, and after all files are gone nothing is left."""
    draw = random.Random(seed)
    cache = PageCache(SimulatedVolume(), disk)
    agents = [f"w/{number}" for number in range(3)]
    admitted_bytes = 0
    for _ in range(400):
        key = (draw.choice(agents), draw.randrange(6))
        room_s = cache.room_s
        match draw.choice(("write", "read", "read", "shrink", "drop", "wait")):
            case "write":
                more_bytes = min(draw.randrange(1, 257) * 4096, cache.missing_bytes(key, PIECE_BYTES))
                cache.write(key, more_bytes)
                admitted_bytes += more_bytes
            case "read":
                more_bytes = cache.missing_bytes(key, draw.randrange(1, 257) * 4096)
                cache.read(key, more_bytes)
                admitted_bytes += more_bytes
            case "shrink":
                before_bytes, wanted_bytes = cache.used_bytes, draw.randrange(3 * MIB)
                cache.shrink(wanted_bytes)
                given_bytes = before_bytes - cache.used_bytes
                assert min(before_bytes, wanted_bytes) <= given_bytes <= wanted_bytes * (1 + RECORD_RATIO) + 1
                admitted_bytes = cache.inactive_bytes + cache.active_bytes
            case "drop" if draw.random() < 0.1:
                cache.drop(key[0])
                assert (0, 0) == (cache.file_bytes(key[0]), cache.dirty_bytes(key[0]))
                admitted_bytes = cache.inactive_bytes + cache.active_bytes
            case _:
                env.run(until=env.now + draw.expovariate(0.5))
        files_bytes = [cache.file_bytes(agent) for agent in agents]
        assert min(sizes(cache)) >= 0
        assert cache.used_bytes == sum(sizes(cache))
        assert sum(files_bytes) == cache.inactive_bytes + cache.active_bytes == admitted_bytes
        assert cache.record_bytes <= admitted_bytes * RECORD_RATIO
        assert cache.used_bytes <= admitted_bytes * (1 + RECORD_RATIO)
        assert all(cache.dirty_bytes(agent) <= size for agent, size in zip(agents, files_bytes, strict=True))
        assert room_s <= cache.room_s < math.inf
    for agent in agents:
        cache.drop(agent)

    assert (0, 0, 0, 0) == (*sizes(cache), cache.used_bytes)
