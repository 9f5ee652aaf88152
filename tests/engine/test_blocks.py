from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def _part(pool: BlockPool, tree: PrefixTree, parent: int | str, tokens: list[int]) -> int:
    return tree.insert(parent, tokens, pool.allocate())


def test_nearest_is_the_block_that_begins_with_the_most() -> None:
    pool = BlockPool(8)
    tree = PrefixTree(pool, 4)
    root = _part(pool, tree, "", [0, 0, 0, 0])
    parts = {tokens: _part(pool, tree, root, list(tokens)) for tokens in [(1, 2, 3, 4), (1, 2, 9), (5,), (1, 2, 3, 7)]}
    assert tree.nearest(root, [1, 2, 9, 9, 9]) == (parts[1, 2, 9], 3)
    assert tree.nearest(root, [1, 2, 3, 7]) == (parts[1, 2, 3, 7], 4)
    assert tree.nearest(root, [5, 6]) == (parts[5,], 1)
    found = tree.nearest(root, [1, 2, 5])
    assert found is not None
    assert found[1] == 2
    assert tree.nearest(root, [6, 1, 2, 3]) is None
    assert tree.nearest(root, []) is None
    assert tree.nearest("", [1, 2]) is None
    tree.check()


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), max_size=12), st.lists(st.integers(0, 2)))
def test_nearest_agrees_with_a_search(known: list[list[int]], wanted: list[int]) -> None:
    pool = BlockPool(12)
    tree = PrefixTree(pool, 4)
    blocks = {_part(pool, tree, "", tokens): tokens for tokens in known}

    def alike(tokens: list[int]) -> int:
        return next(
            (i for i, (a, b) in enumerate(zip(tokens, wanted, strict=False)) if a != b), min(len(tokens), len(wanted))
        )

    found = tree.nearest("", wanted)
    most = max(map(alike, known), default=0)
    assert (found[1] if found is not None else 0) == most
    assert found is None or alike(blocks[found[0]]) == most


def test_what_was_forgotten_is_not_near() -> None:
    pool = BlockPool(1)
    tree = PrefixTree(pool, 4)
    pool.release(_part(pool, tree, "", [1, 2]))
    assert tree.nearest("", [1, 2, 3]) is not None
    pool.allocate()
    assert tree.nearest("", [1, 2, 3]) is None
    tree.check()
