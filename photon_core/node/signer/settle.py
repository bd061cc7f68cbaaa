"""Asks the other validators what the start-up rule needs to know, and opens the signer's gate once it has spoken."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import trio

from photon_core.api.errors import PeerProtocolError
from photon_core.api.ids import ConsensusKey, NodeKey
from photon_core.api.transport import Channel
from photon_core.peers.errors import CallTimeout, PeersError
from photon_core.peers.requests import Peers

from .seen import ANSWER_BYTES_MAX, METHOD
from .startup import Decision, StartupRule

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S: Final = 10.0
LINK_TIMEOUT_S: Final = 60.0
"""Nothing happens then but another wait."""
ASK_AGAIN_S: Final = 0.5
"""A validator that refuses, or answers with what does not hold, may have been restarted meanwhile."""


async def settle_signer(
    rule: StartupRule,
    peers: Peers,
    node_keys: Mapping[ConsensusKey, NodeKey],
    *,
    task_status: trio.TaskStatus[Decision] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`started` with the decision once the gate of `rule.signer` is open, which may take for ever while fewer than a
    quorum are there. Goes on until every validator has answered: a late answer can still make the signer abstain.
    PhotonError when the disk fails.

    `node_keys`: the nodes of the other validators. `peers` must run, and know them as validators.
    """
    await _Settling(rule, peers, task_status).run(node_keys)


class _Settling:
    def __init__(self, rule: StartupRule, peers: Peers, task_status: trio.TaskStatus[Decision]) -> None:
        self._rule, self._peers, self._task_status = rule, peers, task_status
        self._turn = trio.Lock()
        """Answers are judged one at a time, in threads."""

    async def run(self, node_keys: Mapping[ConsensusKey, NodeKey]) -> None:
        async with trio.open_nursery() as nursery:
            for validator in self._rule.waits_for:
                if validator in node_keys:
                    nursery.start_soon(self._ask_until_answered, validator, node_keys[validator])
            async with self._turn:
                await self._follow()  # alone, or with a quorum of its own, it has nobody to wait for

    async def _ask_until_answered(self, validator: ConsensusKey, node: NodeKey) -> None:
        while True:
            try:
                await self._ask(validator, node)
                return
            except PeerProtocolError as error:
                log.warning("the node %s of validator %s dropped: %s", node.hex()[:16], validator.hex()[:16], error)
                self._peers.transport.drop(node, str(error))
            except CallTimeout:
                continue
            except PeersError as error:
                log.info("validator %s does not say what it has seen: %s", validator.hex()[:16], error)
            await trio.sleep(ASK_AGAIN_S)

    async def _ask(self, validator: ConsensusKey, node: NodeKey) -> None:
        await self._peers.wait_link(node, LINK_TIMEOUT_S)
        plain = await self._peers.call(
            node,
            METHOD,
            [self._rule.signer.public],
            timeout_s=ANSWER_TIMEOUT_S,
            max_reply_bytes=ANSWER_BYTES_MAX,
            channel=Channel.BULK,
        )
        async with self._turn:
            await trio.to_thread.run_sync(self._rule.answered, validator, plain)
            await self._follow()

    async def _follow(self) -> None:
        decision, signer = self._rule.decision, self._rule.signer
        if decision is None:
            return
        is_news = decision.abstains_until > signer.abstains_until
        if decision.unknown:
            if is_news:
                _say_so(decision)
            await trio.to_thread.run_sync(self._learn, decision)
        if not signer.is_open:
            signer.open_gate()
            if signer.silence and not is_news:
                log.warning("this validator follows the chain, and is %s", signer.silence)
            self._task_status.started(decision)

    def _learn(self, decision: Decision) -> None:
        self._rule.signer.learn(
            decision.unknown, abstains_until=decision.abstains_until, round_floor=decision.round_floor
        )


def _say_so(decision: Decision) -> None:
    newest = max(decision.unknown)
    log.critical(
        "THIS SIGNER'S STORE IS OLD: its key has signed, up to height %d, %d statements that the store does not know. "
        "It was restored or copied, its disk lost what was on it, or the key runs elsewhere too. The validator "
        "follows, and signs nothing up to height %d (height %d is certified). See docs/operations.md.",
        newest[0],
        len(decision.unknown),
        decision.abstains_until,
        decision.certified_height,
    )
