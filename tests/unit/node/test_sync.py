"""Catching up: one fetch at a time, bounded buffer, and peers that lie or stall cost little."""

from __future__ import annotations

import pytest
from attrs import evolve

from photon_core.api.chain import Block
from photon_core.api.consensus import IN_FLIGHT_MAX
from photon_core.node.steps import CertifiedBlock, FetchBlocks
from photon_core.node.sync import (
    BUFFER_BLOCKS_MAX,
    FETCH_BLOCKS_MAX,
    FETCH_TIMEOUT_MS,
    PATIENCE_MS,
    Sync,
)
from photon_core.testing.node import Network

A, B = b"\x0a" * 32, b"\x0b" * 32


@pytest.fixture(scope="module")
def pattern() -> CertifiedBlock:
    network = Network(0)
    node = network.add(validator=True)
    while not node.certificates:
        network.step()
    return node.certified(1, 1)[0]


@pytest.fixture
def blocks(pattern: CertifiedBlock) -> object:
    def made(first: int, count: int) -> tuple[CertifiedBlock, ...]:
        """Sync looks at heights only: everything else was verified before."""
        return tuple(
            evolve(pattern, block=Block(header=evolve(pattern.block.header, height=height), transactions=()))
            for height in range(first, first + count)
        )

    return made


def syncing(**heights: int) -> Sync:
    sync = Sync()
    for name, height in heights.items():
        peer = {"a": A, "b": B}[name]
        sync.appeared(peer)
        sync.heard(peer, height)
    return sync


def test_asks_the_peer_that_claims_most_and_no_more_than_it_has() -> None:
    assert syncing(a=3, b=5).step(2, 0) == (FetchBlocks(peer=B, from_height=3, count=3),)
    assert syncing(a=1_000).step(0, 0) == (FetchBlocks(peer=A, from_height=1, count=FETCH_BLOCKS_MAX),)


def test_one_fetch_at_a_time() -> None:
    sync = syncing(a=9, b=9)
    assert len(sync.step(0, 0)) == 1
    assert sync.step(0, 1) == ()


def test_waits_for_what_comes_by_itself_until_the_head_stands_still() -> None:
    sync = syncing(a=9)
    assert sync.step(5, 1_000, coming=True) == ()
    assert sync.step(6, 1_400, coming=True) == ()  # it moved
    assert sync.step(6, 1_399 + PATIENCE_MS, coming=True) == ()
    assert sync.step(6, 1_400 + PATIENCE_MS, coming=True) == (FetchBlocks(peer=A, from_height=7, count=3),)


def test_who_is_far_behind_asks_on_while_the_blocks_it_has_are_on_their_way() -> None:
    """What it is executing came by asking: nothing comes by itself before it has caught up."""
    (asked,) = syncing(a=6 + IN_FLIGHT_MAX).step(5, 1_000, coming=True)
    assert asked.from_height == 6


def test_does_not_wait_for_what_nobody_sends() -> None:
    assert syncing(a=9).step(5, 1_000) == (FetchBlocks(peer=A, from_height=6, count=4),)


def test_nobody_ahead_nothing_to_ask() -> None:
    assert syncing(a=4).step(4, 0) == ()


def test_blocks_are_given_out_in_order_whatever_the_order_of_arrival(blocks) -> None:  # type: ignore[no-untyped-def]
    sync = syncing(a=9)
    sync.arrived(A, blocks(2, 2), 0, fetched=False)
    assert sync.next_block(0) is None
    sync.arrived(A, blocks(1, 1), 0, fetched=False)
    heights = []
    while (found := sync.next_block(len(heights))) is not None:
        heights.append(found.block.header.height)
    assert heights == [1, 2, 3]


def test_what_is_buffered_is_not_asked_again(blocks) -> None:  # type: ignore[no-untyped-def]
    sync = syncing(a=9)
    sync.arrived(A, blocks(1, 4), 0, fetched=False)
    assert sync.step(0, 0) == (FetchBlocks(peer=A, from_height=5, count=5),)


def test_the_buffer_is_bounded(blocks) -> None:  # type: ignore[no-untyped-def]
    sync = syncing(a=10_000)
    sync.arrived(A, blocks(BUFFER_BLOCKS_MAX + 1, 50), 0, fetched=False)
    sync.arrived(A, blocks(1, BUFFER_BLOCKS_MAX), 0, fetched=False)
    assert sync.step(0, 0) == (), "it is full: nothing more is asked"
    kept = 0
    while sync.next_block(kept) is not None:
        kept += 1
    assert kept == BUFFER_BLOCKS_MAX


def test_a_stalling_peer_costs_one_timeout_then_others_are_asked() -> None:
    sync = syncing(a=50, b=9)
    assert sync.step(0, 0)[0].peer == A
    assert sync.step(0, FETCH_TIMEOUT_MS - 1) == ()
    assert sync.step(0, FETCH_TIMEOUT_MS)[0].peer == B


def test_one_that_claims_without_end_and_gives_nothing_does_not_keep_honest_ones_waiting(blocks) -> None:  # type: ignore[no-untyped-def]
    """It tells of a great height again and again, and each time it is asked it stalls."""
    sync, head, now_ms, lost_ms = syncing(a=2**60, b=300), 0, 0, 0
    while head < 300:
        (fetch,) = sync.step(head, now_ms)
        if fetch.peer == A:
            now_ms += FETCH_TIMEOUT_MS
            lost_ms += FETCH_TIMEOUT_MS
        else:
            sync.arrived(B, blocks(fetch.from_height, fetch.count), head, fetched=True)
            while sync.next_block(head) is not None:
                head += 1
        sync.heard(A, 2**60)
    assert lost_ms == FETCH_TIMEOUT_MS


def test_old_blocks_are_no_answer(blocks) -> None:  # type: ignore[no-untyped-def]
    sync = syncing(a=9)
    sync.step(5, 0)
    sync.arrived(A, blocks(1, 5), 5, fetched=True)
    assert sync.step(5, 1) == (), "it gave nothing of use, and is not asked again"
    sync.heard(A, 10)
    assert sync.step(5, 2)[0].peer == A, "until it tells of a height once more"


def test_a_peer_that_left_is_forgotten_and_what_it_was_asked_is_asked_of_others() -> None:
    sync = syncing(a=9, b=8)
    assert sync.step(0, 0)[0].peer == A
    sync.vanished(A)
    assert sync.step(0, 1)[0].peer == B
    sync.heard(A, 99)
    assert sync.best_height == 8, "words of one that is gone leave no trace"
