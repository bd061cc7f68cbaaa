"""Who signs: out of the newest certificates, of which each names a quorum only."""

from photon_core.api.chain import Certificate, FinalityStatement, StatementSignature
from photon_core.cli.validator_status import who_signs

VALIDATORS = [{"key": f"{n:02x}" * 32, "node_key": f"{n + 16:02x}" * 32, "power": n} for n in (1, 2, 3, 4)]


def certificate(height: int, *signers: int) -> Certificate:
    zero = bytes(32)
    statement = FinalityStatement(
        chain_id=zero, height=height, block_hash=zero, state_root=zero, receipts_root=zero, next_validators_hash=zero
    )
    signatures = tuple(StatementSignature(validator=bytes([n]) * 32, signature=bytes(64)) for n in signers)
    return Certificate(statement=statement, signatures=signatures)


def test_one_that_is_late_once_is_told_from_one_that_never_signs() -> None:
    newest_first = [certificate(9, 1, 2, 3), certificate(8, 1, 2, 4), certificate(7, 1, 2, 4)]
    found = who_signs(VALIDATORS, newest_first, own_node_key="12" * 32)
    assert [(each.newest, each.recent) for each in found] == [(True, 3), (True, 3), (True, 1), (False, 2)]
    assert [each.this_one for each in found] == [False, True, False, False]
    assert [each.power for each in found] == [1, 2, 3, 4]


def test_before_the_first_certificate_nobody_has_signed() -> None:
    assert {(each.newest, each.recent) for each in who_signs(VALIDATORS, [], "")} == {(False, 0)}
