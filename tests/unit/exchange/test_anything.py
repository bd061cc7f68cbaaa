"""Whatever decodes may be sent by anybody: the answer is a receipt, never an exception, which would halt every node.

Messages are made out of the forms of their fields, so that a new message is tried without a change here, unless it
holds a record or a choice that no other does: then that stands in RECORDS or CHOICES. Values are
drawn from the borders of their forms and from what exists, so that most get past the first check.
"""

import re
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photon_core.api import fields
from photon_core.api.ids import GroupId, OrderId
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.exchange.events import Outcome
from photon_core.exchange.messages import (
    MESSAGES,
    ConfirmLeases,
    CreateBid,
    ProviderCloseReason,
    ResumeGroup,
    StatusChange,
)
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import GroupSpec, LeaseStatus
from photon_core.testing.exchange import World, address, group_spec

PEOPLE = ("tenant", "stranger", "alpha", "alpha-op", "beta", "beta-op")
NUMBERS = (0, 1, 2, 3, 10**6, 10**12, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
ITEMS_MAX = 3
RECORDS = {cls.__name__: cls for cls in (GroupSpec, ResourceUnit, Resources, OrderId, GroupId, StatusChange)}
CHOICES = {cls.__name__: cls for cls in (LeaseStatus, ProviderCloseReason)}
PARAMETERS = Parameters(min_fee_uptn=1, fee_per_byte_uptn=0, events_per_block=2, bids_per_order=2)


def values(form: str) -> st.SearchStrategy[Any]:
    """Plain values of a form, which it names as `docs/formats.md` does."""
    if form.endswith("?"):
        return st.none() | values(form[:-1])
    if found := re.fullmatch(r"list<(.*)>\.\.(\d+)", form):
        return st.lists(values(found[1]), max_size=min(ITEMS_MAX, int(found[2])))
    if form == "u64":
        return st.sampled_from(NUMBERS)
    if found := re.fullmatch(r"int (\d+)\.\.(\d+)", form):
        low, high = int(found[1]), int(found[2])
        return st.sampled_from([n for n in (*NUMBERS, low, high) if low <= n <= high])
    if found := re.fullmatch(r"bytes\[(\d+)\]", form):
        return st.binary(min_size=int(found[1]), max_size=int(found[1]))
    if found := re.fullmatch(r"bytes\.\.(\d+)", form):
        return st.binary(max_size=min(8, int(found[1])))
    if found := re.fullmatch(r"text\.\.(\d+)", form):
        return st.sampled_from(["", "x", "é" * (int(found[1]) // 2)])
    if form == "address":
        return st.sampled_from([address(name) for name in PEOPLE])
    if form == "bool":
        return st.booleans()
    if form in CHOICES:
        return st.sampled_from([int(member) for member in CHOICES[form]])
    if form == "OrderId":  # mostly one that there is
        return st.just([1, 0, 0]) | st.just([2, 0, 0]) | plain(OrderId)
    return plain(RECORDS[form])


def plain(cls: type[Any]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(*(values(form) for _, form in fields.describe(cls))).map(list)


MESSAGE = st.one_of(*(plain(cls).map(lambda body, tag=tag: [tag, body]) for tag, cls in MESSAGES.items()))


def world_at_work() -> World:
    """A lease on 1/0/0, an order 2/0/0 with a bid, groups that wait."""
    world = World(PARAMETERS)
    world.register("alpha")
    world.register("beta")
    leased = world.deploy(group_spec(), group_spec(price=0), third_party_deposits=True)
    world.must("alpha-op", CreateBid(order=leased, price=1))
    world.pass_time(30_000)
    world.must("alpha-op", ConfirmLeases(height=world.exchange.height))
    ordered = world.deploy()
    world.must("beta-op", CreateBid(order=ordered, price=1))
    return world


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PEOPLE), st.lists(MESSAGE, min_size=1, max_size=3)), max_size=8))
def test_whatever_decodes_gets_a_receipt(sent: list[tuple[str, list[list[Any]]]]) -> None:
    world = world_at_work()
    for sender, messages in sent:
        transaction = evolve(world.transaction(sender, *[ConfirmLeases(height=0)] * len(messages)), messages=messages)
        (receipt,) = world.block(7_000, [transaction]).receipts
        assert receipt.outcome in {Outcome.DONE, Outcome.FAILED}, receipt


@pytest.mark.parametrize("group", [5, 2**32 - 1, 2**32, 2**64 - 1])
def test_resuming_a_group_that_no_deployment_can_have_is_refused(group: int) -> None:
    world = world_at_work()
    assert world.send("tenant", ResumeGroup(deployment=1, group=group)).outcome is Outcome.FAILED
