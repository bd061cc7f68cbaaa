"""An update before it is sent: does the new file order what the deployment ordered, and which salts does it keep.

The chain changes nothing but the sections of groups, so a file whose groups differ in what they order is refused here,
with both values, before anything leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve, frozen

from photon_core.api.errors import ExitCode, PhotonError, UsageError
from photon_core.api.ids import Address, Hash
from photon_core.api.resources import ResourceUnit
from photon_core.exchange.records import DeploymentState, GroupSpec, GroupState
from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.versions import Manifest, seal_plan
from photon_core.node.account import Sent
from photon_core.node.views import DeploymentDetail

from .errors import not_yours
from .status import GroupStatus, Standing

SHOWN_MAX = 8
"""Differences that a message names."""


@frozen(kw_only=True)
class Updated:
    """`changed` are the groups that have something to deliver, their names by index; `sent` None: the chain had this
    version before.

    `height` is of the update's block, or of what the chain was asked at. `resealed`: the manifest before was not kept
    here, so that every section has a new salt.
    """

    deployment: int
    version: Hash
    changed: Mapping[int, str]
    sent: Sent | None
    height: int
    resealed: bool = False


def check_may_update(detail: DeploymentDetail, sender: Address) -> None:
    """PhotonError (exit code 4) unless it is the sender's, and active."""
    deployment = detail.deployment
    if deployment.owner != sender:
        raise not_yours(deployment.id, owner=deployment.owner, account=sender)
    if deployment.state is not DeploymentState.ACTIVE:
        raise PhotonError(
            code="deployment-closed",
            what=f"deployment {deployment.id} is {deployment.state.name.lower()}: it has no next version",
            remedy="`photon deploy` makes a new one of the file",
            exit_code=ExitCode.REFUSED,
        )


def is_up_to_date(group: GroupStatus) -> bool:
    """Nothing is to be delivered or waited for: no lease, or one whose provider says that it serves what stands on
    chain. What a provider does not answer is not known.
    """
    if group.lease is None:
        return True
    section = group.report.section_hash if group.report is not None else None
    return group.standing is Standing.SERVING and section == group.detail.group.spec.section_hash


def in_order_of(detail: DeploymentDetail, groups: Sequence[GroupPlan]) -> tuple[GroupPlan, ...]:
    """The file's groups as the deployment has them; UsageError when they do not order the same."""
    by_name = {group.name: group for group in groups}
    specs = [each.group.spec for each in detail.groups]
    if {spec.name for spec in specs} != set(by_name):
        raise _groups_differ(detail, "placements", _listed(spec.name for spec in specs), _listed(by_name))
    for spec in specs:
        for what, ordered, asked in _differences(spec, by_name[spec.name]):
            raise _groups_differ(detail, f"{what} of group {spec.name}", ordered, asked)
    return tuple(by_name[spec.name] for spec in specs)


def seal_update(
    detail: DeploymentDetail,
    groups: Sequence[GroupPlan],
    *,
    chain_id: Hash,
    previous: Manifest | None,
    pending: Iterable[Manifest],
) -> Manifest:
    """The new manifest, of the chain's own groups. Sections that stay keep their salts.

    One of `pending` that is the same is taken as it is: it may have been sent before this process was.
    """
    for kept in pending:
        again = seal_plan(groups, chain_id=chain_id, previous=kept)
        if again.version == kept.version and _keeps_salts(previous, kept):
            return kept
    sealed = seal_plan(groups, chain_id=chain_id, previous=previous)
    pairs = zip(detail.groups, sealed.groups, strict=True)
    return evolve(sealed, groups=tuple(evolve(mine.group.spec, section_hash=spec.section_hash) for mine, spec in pairs))


def changed_groups(detail: DeploymentDetail, manifest: Manifest) -> dict[int, str]:
    """Those with another section, unless they are over."""
    pairs = zip(detail.groups, manifest.groups, strict=True)
    return {
        mine.group.index: spec.name
        for mine, spec in pairs
        if mine.group.spec.section_hash != spec.section_hash and mine.group.state is not GroupState.CLOSED
    }


def same_version(deployment: int, version: Hash) -> PhotonError:
    return UsageError(
        code="same-version",
        what=f"deployment {deployment} has this manifest already, and nothing of it is to be delivered",
        found=f"version {version.hex()}, on chain and in the file",
        remedy="change the file; there is nothing to update",
    )


def _keeps_salts(previous: Manifest | None, kept: Manifest) -> bool:
    salts = {} if previous is None else {sealed.raw: sealed.salt for sealed in previous.sections}
    return all(salts.get(sealed.raw, sealed.salt) == sealed.salt for sealed in kept.sections)


def _differences(spec: GroupSpec, plan: GroupPlan) -> Iterator[tuple[str, str, str]]:
    """What differs, as the chain has it, as the file asks for it."""
    if _counted(spec.units) != _counted(plan.units):
        yield "resources, counts or prices", _units(spec.units), _units(plan.units)
    if spec.attributes != plan.attributes:
        yield "attributes", _pairs(spec.attributes), _pairs(plan.attributes)
    if spec.collateral_uptn != plan.collateral_uptn:
        yield "collateral", f"{spec.collateral_uptn} uptn", f"{plan.collateral_uptn} uptn"
    if spec.allowed_providers != plan.allowed_providers:
        yield "allowed providers", str(len(spec.allowed_providers)), str(len(plan.allowed_providers))


def _counted(units: Sequence[ResourceUnit]) -> Counter[ResourceUnit]:
    """Without their order, which follows the services' names, and without how services were merged into units."""
    counted: Counter[ResourceUnit] = Counter()
    for unit in units:
        counted[evolve(unit, count=1)] += unit.count
    return counted


def _units(units: Sequence[ResourceUnit]) -> str:
    return _listed(
        f"{count} × ({unit.resources.cpu_milli}m cpu, {unit.resources.memory_bytes} bytes memory, "
        f"{unit.resources.storage_bytes} bytes storage, at most {unit.max_price} × 10⁻⁶ uptn per hour)"
        for unit, count in _counted(units).items()
    )


def _pairs(attributes: Sequence[tuple[str, str]]) -> str:
    return _listed(f"{key} = {value}" for key, value in attributes)


def _listed(words: Iterable[str]) -> str:
    shown = list(words)
    more = f" and {len(shown) - SHOWN_MAX} more" if len(shown) > SHOWN_MAX else ""
    return (", ".join(shown[:SHOWN_MAX]) or "none") + more


def _groups_differ(detail: DeploymentDetail, what: str, ordered: str, asked: str) -> UsageError:
    number = detail.deployment.id
    return UsageError(
        code="groups-differ",
        what=f"an update cannot change what deployment {number} ordered: the {what} differ",
        expected=f"{ordered}, as on chain",
        found=f"{asked} in the file",
        remedy=(
            "put them back and change only what runs (image, command, env, expose, dependencies), or deploy the file "
            f"as a deployment of its own and close this one: photon deploy FILE, then photon close {number}"
        ),
    )
