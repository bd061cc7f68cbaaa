"""The exchange's view of the state: records decoded once, changed under savepoints, given out as bytes.

Reads fall through an overlay of this block's changes to a `Reader`, which must show everything that earlier blocks
changed. Decoded records stay cached between blocks: the exchange is the only writer. Writes go to the innermost
savepoint's undo log, and every write (undone ones too, as their reverse) is shown to a watcher: so the indexes that are
derived from records are right at every moment, inside a transaction as well, and after a rollback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from photon_core.api.codec import decode_record, encode_record
from photon_core.api.ids import Address, GroupId, OrderId
from photon_core.exchange import keys, records
from photon_core.exchange.parameters import Parameters

R = TypeVar("R")

RECORD_BYTES_MAX = 256 * 1024
"""A group with everything at its limit has 16 KiB; the rest is room for records to come."""
CACHED_RECORDS_MAX = 100_000
"""About 100 MiB of decoded records; beyond that the cache is dropped between two blocks."""

TABLES: dict[bytes, type[Any]] = {
    keys.ACCOUNT: records.Account,
    keys.BID: records.Bid,
    keys.DEPLOYMENT: records.Deployment,
    keys.GROUP: records.Group,
    keys.BLOCK_TIME: records.BlockTime,
    keys.LEASE: records.Lease,
    keys.OPERATOR: records.Operator,
    keys.PROVIDER: records.Provider,
    keys.ORDER: records.Order,
    keys.VALIDATOR: records.ValidatorRecord,
    keys.PARAMETERS_KEY: Parameters,
    keys.STATUS_KEY: records.ChainStatus,
}
"""Letter → record. One letter, one table."""

Watcher = Callable[[bytes, Any, Any], None]
"""(key, record before or None, record after or None)."""


class Reader(Protocol):
    """The state as of the last executed block, in order of keys."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]: ...


def decode(key: bytes, data: bytes) -> Any:
    return decode_record(TABLES[key[:1]], data, RECORD_BYTES_MAX)


def read_all(reader: Reader, letter: bytes) -> Iterator[tuple[bytes, Any]]:
    """(key, record) of a whole table, in order of keys."""
    for key, data in reader.scan(letter):
        yield key, decode(key, data)


def _ignore(_key: bytes, _before: Any, _after: Any) -> None:
    return


class Savepoint:
    """A class, since every transaction opens one: `contextmanager` costs a microsecond more."""

    __slots__ = ("_ledger",)

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __enter__(self) -> None:
        self._ledger.begin()

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        self._ledger.end(keep=kind is None)


class Ledger:
    """One block at a time: change under savepoints, `changes()`, and `applied()` once the reader shows them."""

    def __init__(self, reader: Reader, watcher: Watcher = _ignore) -> None:
        self._reader = reader
        self._watcher = watcher
        self._cache: dict[bytes, Any] = {}
        self._originals: dict[bytes, Any] = {}
        self._undo: list[list[tuple[bytes, Any]]] = []

    # --- raw ---------------------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> Any:
        """The record under `key`, or None."""
        if key in self._cache:
            return self._cache[key]
        data = self._reader.get(key)
        record = None if data is None else decode(key, data)
        self._cache[key] = record
        return record

    def put(self, key: bytes, record: Any) -> None:
        """Sets the record under `key`; None removes it."""
        before = self.get(key)
        if before == record:
            return
        self._originals.setdefault(key, before)
        if self._undo:
            self._undo[-1].append((key, before))
        self._cache[key] = record
        self._watcher(key, before, record)

    def savepoint(self) -> Savepoint:
        """What is put inside stays if the block ends well, and never happened if it raises."""
        return Savepoint(self)

    def begin(self) -> None:
        """See `savepoint`, which ends what it has begun."""
        self._undo.append([])

    def end(self, *, keep: bool) -> None:
        done = self._undo.pop()
        if not keep:
            for key, before in reversed(done):
                after, self._cache[key] = self._cache[key], before
                self._watcher(key, after, before)
        elif self._undo:
            self._undo[-1].extend(done)

    def changes(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """What this block changed, in order of keys; None for a record that is gone."""
        assert not self._undo, "a savepoint is still open"
        changed = []
        for key in sorted(self._originals):
            record = self._cache[key]
            if record != self._originals[key]:
                changed.append((key, None if record is None else encode_record(record)))
        return tuple(changed)

    def applied(self) -> None:
        """A new block begins: its changes are counted from here."""
        assert not self._undo, "a savepoint is still open"
        self._originals.clear()
        if len(self._cache) > CACHED_RECORDS_MAX:
            self._cache.clear()

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        """(key, record) in order of keys, this block's changes included. Costs the whole range; not for execution."""
        found = {key: data for key, data in self._reader.scan(prefix) if key not in self._originals}
        mine = {key for key in self._originals if key.startswith(prefix)}
        for key in sorted(mine.union(found)):
            record = self._cache[key] if key in mine else decode(key, found[key])
            if record is not None:
                yield key, record

    # --- typed -------------------------------------------------------------------------------------------------------

    def _need(self, key: bytes, cls: type[R]) -> R:
        record = self.get(key)
        assert isinstance(record, cls), f"no {cls.__name__} at {key.hex()}: the state is damaged"
        return record

    def account(self, address: Address) -> records.Account:
        """An account that nobody has ever paid is the empty one."""
        found: records.Account | None = self.get(keys.account_key(address))
        return found or records.Account()

    def put_account(self, address: Address, account: records.Account) -> None:
        empty = account.balance_uptn == 0 and account.sequence == 0
        self.put(keys.account_key(address), None if empty else account)

    def find_provider(self, provider: Address) -> records.Provider | None:
        found: records.Provider | None = self.get(keys.provider_key(provider))
        return found

    def provider(self, provider: Address) -> records.Provider:
        return self._need(keys.provider_key(provider), records.Provider)

    def put_provider(self, provider: records.Provider) -> None:
        self.put(keys.provider_key(provider.id), provider)

    def provider_by_operator(self, operator: Address) -> records.Provider | None:
        found: records.Operator | None = self.get(keys.operator_key(operator))
        return None if found is None else self.provider(found.provider)

    def put_operator(self, operator: Address, provider: Address | None) -> None:
        record = None if provider is None else records.Operator(provider=provider)
        self.put(keys.operator_key(operator), record)

    def find_deployment(self, deployment: int) -> records.Deployment | None:
        found: records.Deployment | None = self.get(keys.deployment_key(deployment))
        return found

    def deployment(self, deployment: int) -> records.Deployment:
        return self._need(keys.deployment_key(deployment), records.Deployment)

    def put_deployment(self, deployment: records.Deployment) -> None:
        self.put(keys.deployment_key(deployment.id), deployment)

    def find_group(self, group: GroupId) -> records.Group | None:
        found: records.Group | None = self.get(keys.group_key(group))
        return found

    def group(self, group: GroupId) -> records.Group:
        return self._need(keys.group_key(group), records.Group)

    def put_group(self, group: records.Group) -> None:
        self.put(keys.group_key(GroupId(group.deployment, group.index)), group)

    def groups(self, deployment: records.Deployment) -> tuple[records.Group, ...]:
        return tuple(self.group(GroupId(deployment.id, index)) for index in range(deployment.groups))

    def find_order(self, order: OrderId) -> records.Order | None:
        found: records.Order | None = self.get(keys.order_key(order))
        return found

    def order(self, order: OrderId) -> records.Order:
        return self._need(keys.order_key(order), records.Order)

    def put_order(self, order: records.Order) -> None:
        self.put(keys.order_key(order.id), order)

    def find_bid(self, order: OrderId, provider: Address) -> records.Bid | None:
        found: records.Bid | None = self.get(keys.bid_key(order, provider))
        return found

    def bid(self, order: OrderId, provider: Address) -> records.Bid:
        return self._need(keys.bid_key(order, provider), records.Bid)

    def put_bid(self, bid: records.Bid) -> None:
        self.put(keys.bid_key(bid.order, bid.provider), bid)

    def find_lease(self, lease: OrderId) -> records.Lease | None:
        found: records.Lease | None = self.get(keys.lease_key(lease))
        return found

    def lease(self, lease: OrderId) -> records.Lease:
        return self._need(keys.lease_key(lease), records.Lease)

    def put_lease(self, lease: records.Lease) -> None:
        self.put(keys.lease_key(lease.id), lease)

    def block_market_ms(self, height: int) -> int | None:
        found: records.BlockTime | None = self.get(keys.block_time_key(height))
        return None if found is None else found.market_ms

    @property
    def parameters(self) -> Parameters:
        return self._need(keys.PARAMETERS_KEY, Parameters)

    @property
    def status(self) -> records.ChainStatus:
        return self._need(keys.STATUS_KEY, records.ChainStatus)

    def put_status(self, status: records.ChainStatus) -> None:
        self.put(keys.STATUS_KEY, status)

    def validators(self) -> tuple[records.ValidatorRecord, ...]:
        return tuple(record for _, record in self.scan(keys.VALIDATOR))
