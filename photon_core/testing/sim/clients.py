"""Clients: each has an account, sends transfers to nodes in turn, and holds what it was told against the chain.

A client sends its next batch when the one before is acknowledged, that is, reported final by an honest node. When
nothing is heard for long it sends the same bytes to another node, as Photon's own client does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, field

from photon_core.api.ids import Hash
from photon_core.chain.keys import SigningKey
from photon_core.chain.transactions import Transaction, build_transaction, decode_transaction
from photon_core.exchange.messages import MESSAGE, Transfer

from .schedule import Schedule

BATCH_MAX = 3
PAUSE_MS = (0, 1_500)
AGAIN_MS = (600, 2_500)
"""After so long without an acknowledgement another node is asked."""
_TRANSFER: list[Any] = [MESSAGE.to_plain(Transfer(to=b"\x77" * 20, amount_uptn=1))]
EXPIRES_HEIGHT = 5_000
"""Above what any run reaches, and within what the exchange allows."""

Submit = Callable[[tuple[Transaction, ...]], None]


@define
class _Client:
    key: SigningKey
    sequence: int = 0
    waiting: dict[Hash, Transaction] = field(factory=dict)


@define
class Clients:
    keys: tuple[SigningKey, ...]
    chain_id: Hash
    schedule: Schedule
    dice: random.Random
    submit: Submit
    acknowledged: dict[bytes, int] = field(factory=dict)
    waiting: int = 0
    closed: bool = False
    _clients: dict[Hash, _Client] = field(factory=dict)
    """By the transaction that is waited for."""

    def start(self) -> None:
        for key in self.keys:
            self._pause(_Client(key))

    def _pause(self, client: _Client) -> None:
        self.schedule.after(self.dice.randint(*PAUSE_MS), partial(self._send, client))

    def _send(self, client: _Client) -> None:
        if self.closed:
            return
        for _ in range(self.dice.randint(1, BATCH_MAX)):
            raw = build_transaction(client.key.seed, self.chain_id, client.sequence, 0, EXPIRES_HEIGHT, _TRANSFER)
            transaction = decode_transaction(raw, self.chain_id)
            client.sequence += 1
            client.waiting[transaction.id] = transaction
            self._clients[transaction.id] = client
            self.waiting += 1
        self._ask(client, client.sequence)

    def _ask(self, client: _Client, sequence: int) -> None:
        """Until all of this batch is acknowledged."""
        if client.waiting and client.sequence == sequence:
            self.submit(tuple(client.waiting.values()))
            self.schedule.after(self.dice.randint(*AGAIN_MS), partial(self._ask, client, sequence))

    def published(self, ids: tuple[Hash, ...], height: int) -> None:
        """An honest node says that these are final."""
        for one in ids:
            client = self._clients.pop(one, None)
            if client is None:
                continue
            self.acknowledged[client.waiting.pop(one).raw] = height
            self.waiting -= 1
            if not client.waiting:
                self._pause(client)
