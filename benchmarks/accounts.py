"""Funded accounts and the transfers that they sign beforehand, so that signing costs the measured run nothing.

A lane is a group of accounts that send through one validator, one transaction each per batch: a sender's transactions
reach the chain in order of their sequences, as `AccountSender` would send them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import blake2b
from typing import Any

from attrs import define, field, frozen

from photon_core.api.codec import encode
from photon_core.api.hashing import Domain
from photon_core.api.ids import Address, Hash
from photon_core.chain.genesis import GenesisAccount
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.exchange.messages import MESSAGE, Transfer
from photon_core.exchange.records import UPTN_PER_PTN

BALANCE_UPTN = 10_000 * UPTN_PER_PTN
"""Of each account: fees for a hundred thousand transactions."""
FEE_PER_TRANSFER_UPTN, FEE_ROOM_UPTN = 1_100, 1_000
"""A little more than the default parameters ask for a message, its bytes, and the envelope's."""
EXPIRES_HEIGHT = 10_000
"""The latest that a young chain accepts: minutes of full blocks."""


def seed_of(index: int) -> bytes:
    """Of the benchmark's account `index`: the same in every run, and worth nothing anywhere else."""
    return blake2b(b"photon benchmark account %d" % index, digest_size=32).digest()


@frozen(kw_only=True)
class Plan:
    """Who sends what. Account i pays account i + 1, the last one the first."""

    lanes: int
    batch: int
    transfers_per_transaction: int

    @property
    def accounts(self) -> int:
        return self.lanes * self.batch

    @property
    def fee_uptn(self) -> int:
        return FEE_PER_TRANSFER_UPTN * self.transfers_per_transaction + FEE_ROOM_UPTN

    def genesis_accounts(self) -> tuple[GenesisAccount, ...]:
        return tuple(GenesisAccount(address=address, balance_uptn=BALANCE_UPTN) for address in self.addresses())

    def addresses(self) -> list[Address]:
        return [from_seed(seed_of(index), KeyPurpose.ACCOUNT).address for index in range(self.accounts)]


@define
class Lane:
    """One validator's senders. `next_batch` hands out each account's next transaction, in turn."""

    validator: int
    accounts: range
    rounds: Sequence[Sequence[bytes]]
    """Per sequence, one transaction of every account."""
    taken: int = 0
    done: list[int] = field(factory=list)
    """Transactions of each account that the chain has acknowledged as done."""

    def __attrs_post_init__(self) -> None:
        self.done = [0] * len(self.accounts)

    def next_batch(self, count: int) -> tuple[int, Sequence[bytes]] | None:
        """The first one's account and at most `count` transactions of one sequence; None when all are out."""
        sequence, first = divmod(self.taken, len(self.accounts))
        if sequence >= len(self.rounds):
            return None
        batch = self.rounds[sequence][first : first + count]
        self.taken += len(batch)
        return first, batch

    def acknowledged(self, first: int, count: int) -> None:
        for index in range(first, first + count):
            self.done[index] += 1


def sign_lanes(plan: Plan, chain_id: Hash, validators: int, rounds: int, processes: int) -> list[Lane]:
    """All lanes with `rounds` transactions of each account, signed in `processes` processes."""
    every = [range(lane * plan.batch, (lane + 1) * plan.batch) for lane in range(plan.lanes)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting = [pool.submit(_sign_lane, plan, chain_id, accounts, rounds) for accounts in every]
        return [
            Lane(validator=index % validators, accounts=accounts, rounds=one.result())
            for index, (accounts, one) in enumerate(zip(every, waiting, strict=True))
        ]


def _sign_lane(plan: Plan, chain_id: Hash, accounts: range, rounds: int) -> list[list[bytes]]:
    keys = [from_seed(seed_of(index), KeyPurpose.ACCOUNT) for index in accounts]
    payees = [from_seed(seed_of((index + 1) % plan.accounts), KeyPurpose.ACCOUNT).address for index in accounts]
    messages = [[MESSAGE.to_plain(Transfer(to=to, amount_uptn=1))] * plan.transfers_per_transaction for to in payees]
    return [
        [_sign(key, chain_id, sequence, plan.fee_uptn, plain) for key, plain in zip(keys, messages, strict=True)]
        for sequence in range(rounds)
    ]


def _sign(key: SigningKey, chain_id: Hash, sequence: int, fee_uptn: int, messages: list[Any]) -> bytes:
    """As `chain.transactions.build_transaction`, without reading back what was built."""
    body = encode([chain_id, key.public, sequence, fee_uptn, EXPIRES_HEIGHT, messages])
    return encode([body, key.sign(Domain.TRANSACTION, chain_id, body)])
