from __future__ import annotations

import pytest

from freehold.engine.blocks import BlockPool
from freehold.engine.prefix import PrefixTree


def test_blocks_go_out_once_and_come_back() -> None:
    pool = BlockPool(3)
    blocks = [pool.allocate() for _ in range(3)]
    assert sorted(blocks) == [0, 1, 2]
    assert (pool.available, pool.used) == (0, 3)
    pool.release(blocks[1])
    assert pool.allocate() == blocks[1]
    pool.check(blocks)


def test_a_block_with_two_holders_is_freed_by_the_second() -> None:
    pool = BlockPool(1)
    block = pool.allocate()
    pool.hold(block)
    pool.release(block)
    assert pool.free == 0
    pool.release(block)
    assert pool.free == 1


def test_kept_blocks_are_forgotten_in_the_order_they_were_let_go_and_only_when_none_is_free() -> None:
    pool, forgotten = BlockPool(3), list[int]()
    pool.on_forget(forgotten.append)
    first, second = pool.allocate(), pool.allocate()
    for block in (first, second):
        pool.keep(block)
    pool.release(second)
    pool.release(first)
    assert (pool.free, pool.idle) == (1, 2)
    pool.allocate()
    assert forgotten == []
    assert pool.allocate() == second
    assert pool.allocate() == first
    assert forgotten == [second, first]


def test_check_notices_a_lost_block() -> None:
    pool = BlockPool(2)
    pool.allocate()
    with pytest.raises(AssertionError, match="block"):
        pool.check([])


def test_check_notices_a_block_in_two_places() -> None:
    pool = BlockPool(2)
    block = pool.allocate()
    pool.release(block)
    pool._free.append(block)
    with pytest.raises(AssertionError, match="doubled"):
        pool.check([])


def _tree(blocks: int = 8) -> tuple[BlockPool, PrefixTree]:
    pool = BlockPool(blocks)
    return pool, PrefixTree(pool, 2)


def _insert(pool: BlockPool, tree: PrefixTree, tokens: list[int], salt: str = "") -> list[int]:
    """Insert all full blocks of a sequence, as its holder; returns what it holds."""
    held: list[int] = []
    for start in range(0, len(tokens) - 1, 2):
        held.append(tree.insert(held[-1] if held else salt, tokens[start : start + 2], pool.allocate()))
    return held


def test_match_finds_the_longest_known_beginning() -> None:
    pool, tree = _tree()
    held = _insert(pool, tree, [1, 2, 3, 4])
    assert tree.match([1, 2, 3, 4, 5], "") == held
    assert tree.match([1, 2, 3, 9, 5], "") == held[:1]
    assert tree.match([9, 2, 3, 4, 5], "") == []


def test_the_last_token_is_never_taken_from_the_cache() -> None:
    pool, tree = _tree()
    held = _insert(pool, tree, [1, 2, 3, 4])
    assert tree.match([1, 2, 3, 4], "") == held[:1]
    assert tree.match([1, 2], "") == []
    assert tree.match([1], "") == []


def test_equal_blocks_after_different_beginnings_are_different() -> None:
    pool, tree = _tree()
    first = _insert(pool, tree, [1, 2, 7, 7])
    second = _insert(pool, tree, [3, 4, 7, 7])
    assert first[1] != second[1]
    assert tree.match([3, 4, 7, 7, 0], "") == second


def test_salts_share_nothing() -> None:
    pool, tree = _tree()
    held = _insert(pool, tree, [1, 2, 3, 4], salt="tenant a")
    assert tree.match([1, 2, 3, 4, 5], "tenant a") == held
    assert tree.match([1, 2, 3, 4, 5], "tenant b") == []
    assert tree.match([1, 2, 3, 4, 5], "") == []


def test_a_block_computed_twice_is_held_once() -> None:
    pool, tree = _tree()
    first = _insert(pool, tree, [1, 2, 3, 4])
    second = _insert(pool, tree, [1, 2, 3, 4])
    assert first == second
    assert pool.used == 2
    pool.check([*first, *second])


def test_leaves_are_forgotten_before_what_they_hang_from() -> None:
    pool, tree = _tree(blocks=3)
    held = _insert(pool, tree, [1, 2, 3, 4, 5, 6])
    for block in reversed(held):
        pool.release(block)
    pool.allocate()
    assert tree.match([1, 2, 3, 4, 5, 6, 7], "") == held[:2]
    tree.check()
