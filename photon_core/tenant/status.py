"""How a deployment is, in words: what the chain knows, joined with what its providers say, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from attrs import evolve, frozen

from photon_core.api.ids import OrderId
from photon_core.exchange.records import (
    CloseReason,
    Group,
    GroupState,
    Lease,
    LeaseState,
    LeaseStatus,
    Order,
    OrderState,
    Provider,
)
from photon_core.node.views import DeploymentDetail, GroupDetail
from photon_core.peers.methods import LeaseReport

from .decisions import Answer, refusals
from .money import MoneySummary
from .search import Candidate, candidates


class Standing(StrEnum):
    """One word for scripts; what goes with it is in `GroupStatus.says`."""

    WAITS_FOR_BIDS = "waits-for-bids"
    NO_PROVIDER = "no-provider"
    WAITS_FOR_MANIFEST = "waits-for-manifest"
    STARTING = "starting"
    SERVING = "serving"
    WORKLOAD_FAULT = "workload-fault"
    PAUSED = "paused"
    CLOSED = "closed"


NEWER_AWAITED = (
    "a newer manifest is awaited, until then the one before it runs: run `photon update` again, or `photon serve`, "
    "where it was updated from"
)


@frozen(kw_only=True)
class GroupStatus:
    """`report` is the provider's own, None with the reason in `no_report`; `past` its ended leases, oldest first;
    `answers` what providers say of the order that nobody bid on, when they were asked.
    """

    detail: GroupDetail
    lease: Lease | None
    report: LeaseReport | None
    no_report: str
    standing: Standing
    says: str
    past: tuple[Lease, ...]
    answers: tuple[Answer, ...] = ()

    @property
    def awaits_update(self) -> bool:
        """The provider says that it runs another section than the one on chain: the new one is not delivered yet."""
        wanted = self.detail.group.spec.section_hash
        return self.report is not None and self.report.section_hash not in (None, wanted)


@frozen(kw_only=True)
class DeploymentStatus:
    detail: DeploymentDetail
    groups: tuple[GroupStatus, ...]
    money: MoneySummary


def describe_group(
    detail: GroupDetail,
    report: LeaseReport | None,
    no_report: str,
    *,
    past: tuple[Lease, ...],
    providers: Sequence[Provider],
    market_ms: int,
    answers: tuple[Answer, ...] = (),
) -> GroupStatus:
    """`past` are the group's earlier leases; `providers` all that are registered; `market_ms` the newest block's time;
    `answers` see GroupStatus.
    """
    newest = detail.order.lease if detail.order is not None else None
    lease = newest if newest is not None and newest.state is LeaseState.ACTIVE else None
    if newest is not None and lease is None:
        past = (*past, newest)
    standing, says = _judge(detail, lease, report, past, providers, market_ms)
    says += _answered(answers, over=standing is Standing.NO_PROVIDER)
    found = GroupStatus(
        detail=detail,
        lease=lease,
        report=report,
        no_report=no_report,
        standing=standing,
        says=says,
        past=past,
        answers=answers,
    )
    return evolve(found, says=f"{says}; {NEWER_AWAITED}") if found.awaits_update else found


def unbid_order(detail: GroupDetail) -> OrderId | None:
    """The group's order when nobody has bid on it: what providers can be asked about."""
    order = detail.order
    if order is None or order.bids or order.order.state not in (OrderState.OPEN, OrderState.EXPIRED):
        return None
    return order.order.id


def able_providers(detail: GroupDetail, providers: Sequence[Provider]) -> tuple[Provider, ...]:
    """Those that could bid as far as the chain knows: only they have something to tell."""
    return tuple(candidate.provider for candidate in _candidates(detail, providers) if not candidate.reasons)


def _judge(
    detail: GroupDetail,
    lease: Lease | None,
    report: LeaseReport | None,
    past: tuple[Lease, ...],
    providers: Sequence[Provider],
    market_ms: int,
) -> tuple[Standing, str]:
    group = detail.group
    match group.state:
        case GroupState.CLOSED:
            return Standing.CLOSED, f"closed{_after(past)}"
        case GroupState.PAUSED:
            resume = f"`photon resume {group.deployment}/{group.index}` orders it again"
            return Standing.PAUSED, f"paused: {group.pause_reason}; {resume}"
        case GroupState.LEASED if lease is not None:
            return _of_lease(lease, report)
    return _unleased(detail, past, providers, market_ms)


def _of_lease(lease: Lease, report: LeaseReport | None) -> tuple[Standing, str]:
    """The provider's own words are newer than what it has confirmed."""
    status, reason = (report.status, report.reason) if report is not None else (lease.status, lease.status_reason)
    match status:
        case LeaseStatus.AWAITING_MANIFEST:
            return Standing.WAITS_FOR_MANIFEST, "waits for the manifest: run `photon serve` where it was deployed from"
        case LeaseStatus.STARTING:
            return Standing.STARTING, f"starting: {reason}" if reason else "starting"
        case LeaseStatus.SERVING:
            return Standing.SERVING, "serving"
        case LeaseStatus.WORKLOAD_FAULT:
            return Standing.WORKLOAD_FAULT, f"workload-fault: {reason or 'the provider gives no reason'}"


def _unleased(
    detail: GroupDetail, past: tuple[Lease, ...], providers: Sequence[Provider], market_ms: int
) -> tuple[Standing, str]:
    group, order = detail.group, detail.order
    if order is not None and order.order.state is OrderState.OPEN:
        count = len(order.bids)
        if count:
            bids = "1 bid is" if count == 1 else f"{count} bids are"
            return Standing.WAITS_FOR_BIDS, f"waits for the bidding to end: {bids} in{_after(past)}"
        able = [c for c in _candidates(detail, providers) if not c.reasons]
        if able:
            could = "1 provider" if len(able) == 1 else f"{len(able)} providers"
            return Standing.WAITS_FOR_BIDS, f"waits for bids: {could} could bid{_after(past)}"
        return Standing.NO_PROVIDER, f"no provider: {_why_nobody(detail, providers)}{_after(past)}"
    why, again = _why_nobody(detail, providers), _again(group, market_ms)
    if order is not None and order.order.state is OrderState.EXPIRED:
        why = f"{_expired(order.order)}; {why}"
    elif past:
        return Standing.WAITS_FOR_BIDS, f"is {again}{_after(past)}"
    return Standing.NO_PROVIDER, f"no provider: {why}; it is {again}{_times(group.expiries)}{_after(past)}"


def _expired(order: Order) -> str:
    return f"order {order.id} ended without a winner" + (f" ({order.reason})" if order.reason else "")


def _candidates(detail: GroupDetail, providers: Sequence[Provider]) -> tuple[Candidate, ...]:
    spec = detail.group.spec
    return candidates(
        providers, attributes=spec.attributes, allowed=spec.allowed_providers, excluded=detail.group.excluded
    )


def _why_nobody(detail: GroupDetail, providers: Sequence[Provider]) -> str:
    found = _candidates(detail, providers)
    if not found:
        return "none is registered on this chain"
    able = [candidate for candidate in found if not candidate.reasons]
    if able:
        return f"{len(able)} of {len(found)} could bid; no bid came in time"
    counted: dict[str, int] = {}
    for candidate in found:
        counted[candidate.reasons[0]] = counted.get(candidate.reasons[0], 0) + 1
    return "; ".join(f"{count} {reason}" for reason, count in counted.items())


def _answered(answers: Sequence[Answer], *, over: bool) -> str:
    """Why there is no bid, as far as providers told. Silence means something once the bidding is `over`."""
    told = refusals(answers)
    says = f"; providers that did not bid say: {'; '.join(told)}" if told else ""
    silent = sum(answer.decision is None for answer in answers)
    if over and silent:
        says += f"; asked why, {silent} of {len(answers)} did not answer"
    return says


def _again(group: Group, market_ms: int) -> str:
    """When the next try is, in market time; a block has to come for it."""
    if group.reopen_ms is None or group.reopen_ms <= market_ms:
        return "ordered again with the next block"
    return f"ordered again in {-(-(group.reopen_ms - market_ms) // 1_000)} s"


def _times(expiries: int) -> str:
    return f" (in vain {expiries} times so far)" if expiries > 1 else ""


def _after(past: tuple[Lease, ...]) -> str:
    """What became of the lease before."""
    if not past or past[-1].close_reason is CloseReason.NONE:
        return ""
    last = past[-1]
    reason = last.close_reason.name.lower().replace("_", "-")
    said = f"; lease {last.id} ended: {reason}"
    if last.status_reason and last.close_reason in (CloseReason.FAULT, CloseReason.NO_MANIFEST):
        said += f" ({last.status_reason})"
    if last.collateral_forfeited_uptn:
        said += f", {last.collateral_forfeited_uptn} uptn of collateral received"
    return said
