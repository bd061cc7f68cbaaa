"""Who votes, with which power, whose turn it is, and how much power is enough."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

from photon_core.api.chain import ValidatorSet
from photon_core.api.ids import ConsensusKey


@frozen
class Membership:
    """Validators are named by their index in the set's order, on the wire too: 1 to 2 bytes instead of 34."""

    validators: ValidatorSet
    tenure_blocks: int
    keys: tuple[ConsensusKey, ...] = field(init=False)
    powers: tuple[int, ...] = field(init=False)
    quorum_power: int = field(init=False)
    total_power: int = field(init=False)
    _indices: dict[ConsensusKey, int] = field(init=False, eq=False)

    @keys.default
    def _keys(self) -> tuple[ConsensusKey, ...]:
        return tuple(v.key for v in self.validators.validators)

    @powers.default
    def _powers(self) -> tuple[int, ...]:
        return tuple(v.power for v in self.validators.validators)

    @quorum_power.default
    def _quorum_power(self) -> int:
        return self.validators.quorum_power

    @total_power.default
    def _total_power(self) -> int:
        return self.validators.total_power

    @_indices.default
    def _index_table(self) -> dict[ConsensusKey, int]:
        return {v.key: index for index, v in enumerate(self.validators.validators)}

    def __len__(self) -> int:
        return len(self.keys)

    def index_of(self, key: ConsensusKey | None) -> int | None:
        return None if key is None else self._indices.get(key)

    def primary(self, view: int, height: int) -> int:
        """(view + ⌊height / tenure⌋) mod n: a new view and a new tenure both give the turn to the next one."""
        return (view + height // self.tenure_blocks) % len(self.keys)

    def power(self, indices: Iterable[int]) -> int:
        return sum(self.powers[index] for index in indices)

    def is_quorum(self, power: int) -> bool:
        """Any two quorums share an honest validator: each has more than 2/3 of the power, liars less than 1/3."""
        return power >= self.quorum_power

    def is_weak(self, power: int) -> bool:
        """More than all liars together can have: at least one of these is honest (the paper's f + 1)."""
        return power > self.total_power - self.quorum_power
