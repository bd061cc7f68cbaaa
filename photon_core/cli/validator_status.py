"""What `photon validator status` shows beside a node's status: who signs, and what the engine says of itself.

A certificate holds as many signatures as a quorum needs, those that came first. So a validator that is missing in the
newest one may be well; one that is missing in all the recent ones is down, cut off, abstaining, or far away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import asdict, frozen

from photon_core.api.chain import Certificate
from photon_core.api.fields import to_json
from photon_core.cli.frame import Facts, Table
from photon_core.cli.frame.output import Human
from photon_core.cli.node_home import status_facts
from photon_core.node.client import NodeClient
from photon_core.node.views import ConsensusStatus, Count, NodeStatus

RECENT = 10
"""Certificates that are looked at."""


@frozen(kw_only=True)
class Signing:
    """One validator: whether it signed the newest certificate, and how many of the recent ones."""

    key: str
    power: int
    newest: bool
    recent: int
    this_one: bool


@frozen(kw_only=True)
class ValidatorStatus:
    node: NodeStatus
    certificates: int
    """The recent ones that there are."""
    validators: tuple[Signing, ...]

    def document(self) -> dict[str, Any]:
        """The status with the key `signing` more."""
        signing = {"certificates": self.certificates, "validators": [asdict(each) for each in self.validators]}
        return {**to_json(self.node), "signing": signing}

    def human(self) -> Human:
        rows = [
            (
                each.key,
                each.power,
                "yes" if each.newest else "no",
                f"{each.recent} of {self.certificates}",
                "this one" if each.this_one else "",
            )
            for each in self.validators
        ]
        return [
            Facts([*status_facts(self.node), *_consensus_facts(self.node.consensus)]),
            Table(("validator", "power", "signed the newest", "of the last", ""), rows),
        ]


async def ask_status(node: NodeClient) -> ValidatorStatus:
    status = await node.status()
    validators = (await node.genesis())["validators"]
    certificates = []
    for height in range(status.height, max(status.height - RECENT, 0), -1):
        block = await node.block(height)
        if block is not None and block.certificate is not None:
            certificates.append(block.certificate)
    return ValidatorStatus(
        node=status,
        certificates=len(certificates),
        validators=who_signs(validators, certificates, status.node_key.hex()),
    )


def who_signs(
    validators: Sequence[dict[str, Any]], certificates: Sequence[Certificate], own_node_key: str
) -> tuple[Signing, ...]:
    """`validators` as genesis has them in JSON; `certificates` newest first."""
    signers = [{signature.validator.hex() for signature in each.signatures} for each in certificates]
    return tuple(
        Signing(
            key=each["key"],
            power=each["power"],
            newest=bool(signers) and each["key"] in signers[0],
            recent=sum(each["key"] in of for of in signers),
            this_one=each["node_key"] == own_node_key,
        )
        for each in validators
    )


def _consensus_facts(consensus: ConsensusStatus | None) -> list[tuple[str, object]]:
    """None for a full node, which somebody may ask as well."""
    if consensus is None:
        return []
    return [
        ("signer", consensus.signer),
        ("engine", consensus.state),
        ("blocks under way", str(consensus.in_flight)),
        ("messages of no use", _counts(consensus.ignored)),
        ("messages lost", _counts(consensus.lost)),
        ("evidence", f"{consensus.evidence} in HOME/chain: some validator lies" if consensus.evidence else ""),
    ]


def _counts(counts: tuple[Count, ...]) -> str:
    return ", ".join(f"{each.what} {each.count}" for each in counts)
