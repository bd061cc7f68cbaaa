"""Who gets in: places for connections that have no link yet, and for links. No IO.

Theory of operation. Until the handshake is through, nobody knows who calls, only from where. So a newcomer is always
let in, and pays with the oldest connection of its own address when that address, or the whole gate, is full (then
with the oldest of the address that has most). A peer that means it is through within milliseconds; one that only
holds a place loses it to the next caller. Three hundred idle connections keep nobody out, not even from the same
machine.

Once the peer is known, places are counted by standing: strangers and followers each have a number of their own, and
one per address, and together never more than LINKS_MAX - LINKS_KEPT, so that places remain for validators and peers
whatever the others do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from attrs import frozen

from photon_core.api.transport import LINKS_KEPT, LINKS_MAX, Standing

from .config import Libp2pConfig


@frozen(eq=False)
class Pending:
    """A connection without a link. `evict` closes it."""

    network: str
    evict: Callable[[str], None]


class Gate:
    """Of links: places for connections and standings."""

    def __init__(self, config: Libp2pConfig) -> None:
        self._config = config
        self._pending: dict[str, list[Pending]] = {}
        self._most = {
            Standing.STRANGER: (config.strangers_max, config.strangers_per_address_max),
            Standing.FOLLOWER: (config.followers_max, config.followers_per_address_max),
        }
        self._unknown: dict[Standing, Counter[str]] = {standing: Counter() for standing in self._most}
        self._links = 0

    # -- connections -------------------------------------------------------------------------------------------------

    def arrive(self, pending: Pending) -> None:
        """Lets a connection in; may evict another."""
        of_network = self._pending.setdefault(pending.network, [])
        of_network.append(pending)
        if len(of_network) > self._config.pending_per_address_max:
            self._evict(pending.network)
        elif sum(map(len, self._pending.values())) > self._config.pending_max:
            self._evict(max(self._pending, key=lambda network: len(self._pending[network])))

    def leave(self, pending: Pending) -> None:
        """The connection has a link now, or is gone. Idempotent."""
        of_network = self._pending.get(pending.network, [])
        if pending in of_network:
            of_network.remove(pending)
        if not of_network:
            self._pending.pop(pending.network, None)

    def _evict(self, network: str) -> None:
        oldest = self._pending[network][0]
        self.leave(oldest)
        oldest.evict("pushed out by a newer connection")

    @property
    def pending(self) -> int:
        return sum(map(len, self._pending.values()))

    # -- links -------------------------------------------------------------------------------------------------------

    def refusal(self, standing: Standing, network: str) -> str | None:
        """Why there is no place for a link, if there is none."""
        if standing is Standing.REFUSED:
            return "not admitted"
        if self._links >= LINKS_MAX:
            return f"all {LINKS_MAX} places are taken"
        return None if standing.is_known else self._refusal_of_unknown(standing, network)

    def _refusal_of_unknown(self, standing: Standing, network: str) -> str | None:
        most, most_of_one = self._most[standing]
        if sum(links.total() for links in self._unknown.values()) >= LINKS_MAX - LINKS_KEPT:
            return f"the last {LINKS_KEPT} places are for validators and peers"
        if self._unknown[standing].total() >= most:
            return f"all {most} places for {standing.value}s are taken"
        if self._unknown[standing][network] >= most_of_one:
            return f"all {most_of_one} places for {standing.value}s of one address are taken"
        return None

    def take(self, standing: Standing, network: str) -> None:
        self._links += 1
        if not standing.is_known:
            self._unknown[standing][network] += 1

    def give_back(self, standing: Standing, network: str) -> None:
        self._links -= 1
        if not standing.is_known:
            of_standing = self._unknown[standing]
            of_standing[network] -= 1
            if not of_standing[network]:
                del of_standing[network]
