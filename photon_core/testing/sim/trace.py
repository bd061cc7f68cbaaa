"""What happened, in lines that people can read and compare: the same run gives the same lines.

Blocks and transactions are called by the order in which they were first seen, validators by their index: a hash says
nothing to anybody, and another one after every change of a format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from attrs import define, field

from photon_core.api import consensus
from photon_core.api.consensus import Claim
from photon_core.api.ids import ConsensusKey, Hash

Describe = Callable[[bytes, "Names"], str]
"""What a message of an engine says, in words: only whoever knows the engine can say it better than its claims do."""


@define
class Names:
    keys: Sequence[ConsensusKey]
    _blocks: dict[Hash, str] = field(factory=dict)
    _at_height: dict[int, int] = field(factory=dict)

    def validator(self, key: ConsensusKey | None) -> str:
        return "all" if key is None else f"v{self.keys.index(key)}" if key in self.keys else "a stranger"

    def block(self, name: Hash, height: int | None = None) -> str:
        """`3a` is the first block that was seen at height 3, `3b` the second."""
        if name not in self._blocks:
            if height is None:
                return f"an unknown block {name.hex()[:8]}"
            seen = self._at_height.get(height, 0)
            self._at_height[height] = seen + 1
            self._blocks[name] = f"{height}{'abcdefghijklmnopqrstuvwxyz'[seen % 26]}"
        return self._blocks[name]

    def claims(self, claims: Sequence[Claim]) -> str:
        told = [f"{self.validator(c.key)}{list(c.slot)}" for c in claims if c.slot]
        return " ".join(told) if told else "no claims"


@define
class Trace:
    names: Names
    write: Callable[[str], None]
    describe: Describe

    def line(self, now_ms: int, who: str, what: str) -> None:
        self.write(f"{now_ms:>6} {who:<4} {what}")

    def stepped(self, now_ms: int, who: str, event: consensus.Event, effects: Sequence[consensus.Effect]) -> None:
        """Steps without an effect are told only where something came from outside."""
        told = self._event(event)
        lines = [line for effect in effects if (line := self._effect(effect))]
        if lines or not isinstance(event, consensus.WorkWaiting | consensus.TimerFired):
            self.line(now_ms, who, told)
        for line in lines:
            self.line(now_ms, who, f"    {line}")

    def _event(self, event: consensus.Event) -> str:  # noqa: C901  # one line for each kind: a table
        names = self.names
        match event:
            case consensus.Restored(records=records, height=height, block_hash=name):
                return f"restored at {names.block(name, height)} with {len(records)} records"
            case consensus.WorkWaiting():
                return "there is work"
            case consensus.WorkIgnored():
                return "work is ignored"
            case consensus.ProposalBuilt(proposal=proposal):
                built = names.block(proposal.block_hash, proposal.header.height)
                return f"built {built} on {names.block(proposal.header.parent, proposal.header.height - 1)}"
            case consensus.Received(sender=sender, message=message):
                return f"{names.validator(sender)} says {self.describe(message, names)}"
            case consensus.TimerFired(name=timer):
                return f"timer {timer}"
            case consensus.Persisted(token=token):
                return f"persisted #{token}"
            case consensus.Signed(slot=slot):
                return f"signed {list(slot)}"
            case consensus.SignatureRefused(slot=slot, reason=reason):
                return f"signature refused {list(slot)}: {reason}"
            case consensus.ContentAvailable(block_hash=name):
                return f"has the content of {names.block(name)}"
            case consensus.Validated(block_hash=name, reason=reason):
                return f"{names.block(name)} is {'not valid: ' + reason if reason else 'valid'}"
            case consensus.BlockFinal(height=height, block_hash=name):
                return f"{names.block(name, height)} is final"
            case consensus.ValidatorsChanged(from_height=height):
                return f"other validators from height {height}"
            case _:
                assert_never(event)

    def _effect(self, effect: consensus.Effect) -> str:  # noqa: C901  # one line for each kind: a table
        names = self.names
        match effect:
            case consensus.Persist(token=token, height=height, records=records, contents=contents):
                kept = "".join(f", {names.block(name)}" for name in contents)
                return f"persist #{token} for height {height}: {len(records)} records{kept}"
            case consensus.SendNow(message=message, to=to):
                return f"to {names.validator(to)}: {self.describe(message, names)}"
            case consensus.SendAfter(token=token, message=message, to=to):
                return f"to {names.validator(to)} after #{token}: {self.describe(message, names)}"
            case consensus.Sign(slot=slot, round_floor=floor):
                return f"sign {list(slot)}" + (f", closing rounds below {floor}" if floor else "")
            case consensus.BuildProposal(height=height, parent=parent):
                return f"build {height} on {names.block(parent, height - 1)}"
            case consensus.Fetch(header=header, block_hash=name, transaction_ids=ids):
                told = "by hash" if ids is None else f"{len(ids)} transactions"
                return f"fetch {names.block(name, header.height)}, {told}"
            case consensus.Validate(header=header, block_hash=name, late_max_ms=late_max_ms):
                return f"validate {names.block(name, header.height)}" + ("" if late_max_ms else ", of any age")
            case consensus.Commit(header=header, block_hash=name):
                return f"COMMIT {names.block(name, header.height)}"
            case consensus.Evidence(first=first):
                return f"evidence against {names.validator(first.key)} in {list(first.slot)}"
            case consensus.Forget(below_height=below):
                return f"forget below {below}"
            case consensus.Ignored(reason=reason, sender=sender):
                return f"ignored, of {names.validator(sender)}: {reason}"
            case consensus.StateChange(what=what):
                return f"now: {what}"
            case consensus.SetTimer() | consensus.CancelTimer():
                return ""
            case _:
                assert_never(effect)
