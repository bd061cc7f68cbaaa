"""What makes the figures worth something: a whole network, equal state on every validator, and every acknowledged
transfer in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from benchmarks.accounts import BALANCE_UPTN, Lane, Plan
from photon_core.api.ids import Address, Hash
from photon_core.node.client import NodeClient
from photon_core.node.views import NodeStatus

SETTLE_TIMEOUT_S = 30.0
ASK_AGAIN_S = 0.1
QUESTIONS_AT_ONCE = 8


class Untrue(Exception):
    """The network does not hold what it acknowledged."""


async def whole_network(nodes: Sequence[NodeClient]) -> None:
    """Every validator is linked with all others, and they have made a block together."""
    statuses: list[NodeStatus] = []
    with trio.move_on_after(SETTLE_TIMEOUT_S):
        while True:
            statuses = [await node.status() for node in nodes]
            if all(status.peers >= len(nodes) - 1 and status.height for status in statuses):
                return
            await trio.sleep(ASK_AGAIN_S)
    said = "; ".join(f"{s.peers} peers, height {s.height}, {s.consensus}" for s in statuses)
    raise Untrue(f"after {SETTLE_TIMEOUT_S:g} s the validators make no blocks together: {said}")


async def equal_roots(nodes: Sequence[NodeClient]) -> tuple[int, Hash]:
    """(height, state root) of all validators, once they stand at one height."""
    statuses: list[NodeStatus] = []
    with trio.move_on_after(SETTLE_TIMEOUT_S):
        while True:
            statuses = [await node.status() for node in nodes]
            if len({status.height for status in statuses}) == 1:
                break
            await trio.sleep(ASK_AGAIN_S)
    found = {(status.height, status.state_root) for status in statuses}
    if len(found) != 1 or any(status.halted for status in statuses):
        said = "; ".join(f"{s.height} {s.state_root.hex()[:16]} {s.halted}" for s in statuses)
        raise Untrue(f"after {SETTLE_TIMEOUT_S:g} s the validators differ (height, state root): {said}")
    return found.pop()


async def acknowledged_transfers(node: NodeClient, plan: Plan, addresses: Sequence[Address], lanes: list[Lane]) -> None:
    """Each account has sent, paid and got exactly what was acknowledged."""
    done = {index: count for lane in lanes for index, count in zip(lane.accounts, lane.done, strict=True)}
    limiter = trio.CapacityLimiter(QUESTIONS_AT_ONCE)

    async def check(index: int) -> None:
        async with limiter:
            account = await node.account(addresses[index])
        transfers = plan.transfers_per_transaction
        got = done[(index - 1) % plan.accounts] * transfers
        paid = done[index] * (plan.fee_uptn + transfers)
        expected = (done[index], BALANCE_UPTN + got - paid)
        if (account.sequence, account.balance_uptn) != expected:
            raise Untrue(
                f"account {index}: sequence and balance are {(account.sequence, account.balance_uptn)}, and the "
                f"acknowledged transactions make {expected}"
            )

    async with trio.open_nursery() as nursery:
        for index in range(plan.accounts):
            nursery.start_soon(check, index)
