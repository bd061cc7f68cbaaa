"""The planner as situations and what is to be done in them; then all situations: what is done needs no doing again."""

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.resources import Resources
from photon_core.api.runtime import IMAGES_OPTIONAL, NETWORK_AGENT, InstanceState, Observed
from photon_core.exchange.messages import ProviderCloseReason
from photon_core.exchange.records import LeaseState, LeaseStatus
from photon_core.manifest.records import Expose, Section, Service, Target
from photon_core.provider import workload
from photon_core.provider.health import Memory
from photon_core.provider.network.grants import network_of
from photon_core.provider.reconcile import (
    Apply,
    CloseLease,
    Confirm,
    ConfirmClosed,
    ForgetSection,
    Policy,
    Remove,
    Rewire,
    Situation,
    Trouble,
    plan,
)

NOW_MS = 1_000_000
POLICY = Policy(
    capabilities=frozenset({NETWORK_AGENT}),
    ready_timeout_ms=30_000,
    confirm_interval_ms=5_000,
    trouble_patience_ms=60_000,
)


@pytest.fixture
def ids(lease, section):
    """Instances of the section by `service/ordinal`."""
    return {f"{i.service}/{i.ordinal}": i for i in workload.instance_specs(lease, section, bytes(32))}


@pytest.fixture
def seen(lease, section):
    """Observations by `service/ordinal`; those that run are of the right make."""
    specs = workload.instance_specs(lease, section, bytes(32))

    def make(**states: InstanceState) -> tuple[Observed, ...]:
        found = []
        for id_, spec in specs.items():
            state = states.get(id_.service)
            if state is not None:
                digest = "" if state is InstanceState.SANDBOX else spec.spec_digest
                code = 1 if state is InstanceState.EXITED else None
                found.append(Observed(id=id_, state=state, spec_digest=digest, exit_code=code, since_ms=1))
        return tuple(found)

    return make


@pytest.fixture
def situation(make_lease, lease, section):
    """An active lease with its section, nothing made yet; a confirmation is not due."""

    def make(**changes: object) -> Situation:
        start = Situation(
            leases=(make_lease(),),
            sections={lease: section},
            observed=(),
            height=10,
            now_ms=NOW_MS,
            confirm_due_ms=NOW_MS + 1,
        )
        return evolve(start, **changes)

    return make


def actions(situation: Situation, *kinds: type, policy: Policy = POLICY):
    found = plan(situation, policy).actions
    return [action for action in found if isinstance(action, kinds)] if kinds else list(found)


def running(**more: InstanceState) -> dict[str, InstanceState]:
    return dict.fromkeys(("db", "web", "other"), InstanceState.RUNNING) | more


# --- making ----------------------------------------------------------------------------------------------------------


def test_sandboxes_come_before_instances(situation, section):
    (apply,) = actions(situation(), Apply)
    assert len(apply.desired.sandboxes) == 4
    assert apply.desired.instances == ()


def test_nothing_starts_before_its_sandbox_is_wired(situation, seen, lease, section):
    sandboxes = seen(db=InstanceState.SANDBOX, web=InstanceState.SANDBOX, other=InstanceState.SANDBOX)
    (apply,) = actions(situation(observed=sandboxes), Apply)
    assert apply.desired.instances == ()
    assert apply.network == network_of(lease, section)


def test_what_depends_on_others_starts_after_they_are_ready(situation, seen, lease, section, ids):
    wired = {lease: network_of(lease, section)}
    sandboxes = seen(db=InstanceState.SANDBOX, web=InstanceState.SANDBOX, other=InstanceState.SANDBOX)
    (apply,) = actions(situation(observed=sandboxes, wired=wired), Apply)
    assert {spec.id.service for spec in apply.desired.instances} == {"db", "other"}

    starting = seen(**running(web=InstanceState.SANDBOX))
    db = ids["db/0"]
    assert not actions(situation(observed=starting, wired=wired, closed_ports={db: (6379,)}), Apply)

    (apply,) = actions(situation(observed=starting, wired=wired, closed_ports={db: (), ids["other/0"]: ()}), Apply)
    assert {spec.id.service for spec in apply.desired.instances} == {"db", "other", "web"}


def test_what_runs_is_not_stopped_when_what_it_depends_on_fails(situation, seen, lease, section, ids):
    now = situation(observed=seen(**running(db=InstanceState.EXITED)), wired={lease: network_of(lease, section)})
    (apply,) = actions(now, Apply)
    assert ids["web/0"] in {spec.id for spec in apply.desired.instances}


def test_healthy_lease_is_left_alone_also_by_an_agent_without_memory(situation, seen, lease, section, ids):
    now = situation(
        observed=seen(**running()),
        wired={lease: network_of(lease, section)},
        closed_ports=dict.fromkeys(ids.values(), ()),
    )
    assert actions(now, Apply, Remove) == []


def test_adopted_lease_is_wired_again_and_nothing_in_it_is_made_anew(situation, seen, ids):
    (apply,) = actions(situation(observed=seen(**running()), closed_ports=dict.fromkeys(ids.values(), ())), Apply)
    assert {spec.id for spec in apply.desired.instances} == set(ids.values())


def test_exited_instance_is_started_again_only_after_its_back_off(situation, seen, lease, section, ids):
    db = ids["db/0"]
    ending = Memory(failures=3, ending=(0, 1), exit_code=1, hold_until_ms=NOW_MS + 1)
    now = situation(
        observed=seen(**running(db=InstanceState.EXITED)),
        wired={lease: network_of(lease, section)},
        memory={db: ending},
        closed_ports={ids["web/0"]: (), ids["web/1"]: (), ids["other/0"]: ()},
    )
    assert actions(now, Apply) == []
    assert len(actions(evolve(now, now_ms=NOW_MS + 1), Apply)) == 1


def test_changed_section_replaces_what_runs(situation, seen, lease, section, ids):
    changed = evolve(section, services=(evolve(section.services[0], args=("--new",)), *section.services[1:]))
    now = situation(
        observed=seen(**running()),
        sections={lease: changed},
        wired={lease: network_of(lease, changed)},
        closed_ports=dict.fromkeys(ids.values(), ()),
    )
    assert len(actions(now, Apply)) == 1


def test_busy_lease_is_left_alone_and_confirmed(situation, lease):
    now = situation(busy={lease}, confirm_due_ms=0)
    assert actions(now, Apply, Remove) == []
    assert len(actions(now, Confirm)) == 1


def test_without_a_section_nothing_is_made(situation):
    assert actions(situation(sections={}), Apply, Remove) == []


# --- giving up -------------------------------------------------------------------------------------------------------


def test_runtime_trouble_is_retried_later_and_given_up_when_it_lasts(situation, lease):
    trouble = Trouble(what="no space left", since_ms=NOW_MS - 1_000, retry_ms=NOW_MS + 1)
    assert actions(situation(trouble={lease: trouble}), Apply, CloseLease) == []
    assert len(actions(situation(trouble={lease: evolve(trouble, retry_ms=NOW_MS)}), Apply)) == 1

    lasting = evolve(trouble, since_ms=NOW_MS - POLICY.trouble_patience_ms)
    (close,) = actions(situation(trouble={lease: lasting}), CloseLease)
    assert (close.reason, close.why) == (ProviderCloseReason.PROVIDER, "no space left")


def test_section_that_can_never_run_here_is_closed_as_a_fault(situation, lease, section):
    policy = evolve(POLICY, capabilities=POLICY.capabilities | {IMAGES_OPTIONAL})
    image_only = evolve(section, services=(evolve(section.services[0], command=()),))
    (close,) = actions(situation(sections={lease: image_only}), CloseLease, policy=policy)
    assert close.reason is ProviderCloseReason.FAULT
    assert "db" in close.why
    assert actions(situation(), CloseLease, policy=policy) == []


# --- ending ----------------------------------------------------------------------------------------------------------


def test_closing_lease_is_removed_then_confirmed_closed(situation, make_lease, seen, lease, section):
    closing = (make_lease(state=LeaseState.CLOSING),)
    left = situation(leases=closing, observed=seen(**running()), wired={lease: network_of(lease, section)})
    assert actions(left, Remove, ConfirmClosed, Apply) == [Remove(lease=lease)]

    unconfirmed = situation(leases=closing)  # nothing is seen, but files may be left: the runtime has to say so
    assert actions(unconfirmed, Remove, ConfirmClosed) == [Remove(lease=lease)]

    gone = situation(leases=closing, removed={lease})
    assert actions(gone, Remove, ConfirmClosed) == [ConfirmClosed(leases=(lease,))]


def test_orphans_are_removed_and_their_manifests_forgotten(situation, seen, lease):
    now = situation(leases=(), observed=seen(**running()))
    assert actions(now) == [Remove(lease=lease), ForgetSection(lease=lease)]


def test_stale_view_removes_nothing_and_says_nothing(situation, make_lease, seen, lease, section, ids):
    now = situation(leases=(), observed=seen(**running()), fresh=False)
    assert actions(now) == []
    closing = situation(leases=(make_lease(state=LeaseState.CLOSING),), removed={lease}, fresh=False)
    assert actions(closing, ConfirmClosed, ForgetSection) == []
    assert actions(situation(fresh=False, confirm_due_ms=0), Confirm) == []


def test_stale_view_still_keeps_what_runs_running(situation, seen, lease, section):
    now = situation(
        observed=seen(**running(db=InstanceState.EXITED)), wired={lease: network_of(lease, section)}, fresh=False
    )
    assert len(actions(now, Apply)) == 1


def test_silent_runtime_stops_everything(situation, make_lease):
    other = make_lease(LeaseId(18, 0, 0), state=LeaseState.CLOSING)
    now = situation(leases=(make_lease(), other), observed=None, confirm_due_ms=0, removed={other.lease.id})
    assert actions(now, Apply, Remove, Confirm, ConfirmClosed) == []


# --- telling the truth -----------------------------------------------------------------------------------------------


def status_of(situation: Situation, lease: LeaseId) -> LeaseStatus:
    return plan(situation, POLICY).judgements[lease].status


def test_status_is_what_is_seen(situation, seen, lease, ids):
    everything = dict.fromkeys(ids.values(), ())
    assert status_of(situation(sections={}), lease) is LeaseStatus.AWAITING_MANIFEST
    assert status_of(situation(), lease) is LeaseStatus.STARTING
    half = {**everything, ids["web/1"]: (8080,)}
    assert status_of(situation(observed=seen(**running()), closed_ports=half), lease) is LeaseStatus.STARTING
    assert status_of(situation(observed=seen(**running()), closed_ports=everything), lease) is LeaseStatus.SERVING
    broken = situation(observed=seen(**running(web=InstanceState.FAILED)), closed_ports=everything)
    assert status_of(broken, lease) is LeaseStatus.WORKLOAD_FAULT
    assert "web/0" in plan(broken, POLICY).judgements[lease].reason


def test_change_is_told_at_once_and_only_the_change(situation, make_lease, seen, lease, ids):
    quiet = make_lease(LeaseId(18, 0, 0))
    now = situation(
        leases=(make_lease(status=LeaseStatus.STARTING), quiet),
        observed=seen(**running()),
        closed_ports=dict.fromkeys(ids.values(), ()),
    )
    (confirm,) = actions(now, Confirm)
    assert [(change.lease, change.status) for change in confirm.changes] == [(lease, LeaseStatus.SERVING)]
    assert confirm.height == 10
    assert actions(evolve(now, confirm_not_before_ms=NOW_MS + 1), Confirm) == []


def test_without_a_change_it_is_told_at_each_interval(situation, make_lease):
    now = situation(leases=(make_lease(status=LeaseStatus.STARTING),))
    assert actions(now, Confirm) == []
    (confirm,) = actions(evolve(now, now_ms=NOW_MS + 1), Confirm)
    assert confirm.changes == ()


def test_lease_that_was_matched_after_the_height_is_not_spoken_of(situation, make_lease):
    assert actions(situation(leases=(make_lease(matched_height=11),), confirm_due_ms=0), Confirm) == []


def test_lease_that_is_given_up_is_not_confirmed(situation, lease):
    lasting = Trouble(what="broken", since_ms=0, retry_ms=0)
    assert actions(situation(trouble={lease: lasting}, confirm_due_ms=0), Confirm) == []


# --- all situations --------------------------------------------------------------------------------------------------

SMALL = Resources(cpu_milli=1, memory_bytes=1, storage_bytes=1)
NAMES = ("a", "b", "c")


@st.composite
def sections(draw: st.DrawFn) -> Section:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(sorted))
    services = []
    for i, name in enumerate(names):
        expose = ()
        if draw(st.booleans()):
            target = draw(st.sampled_from([Target(), *(Target(service=other) for other in names)]))
            expose = (Expose(port=80, as_port=80, targets=(target,)),)
        services.append(
            Service(
                name=name,
                image="i",
                command=("c",),
                count=draw(st.integers(1, 2)),
                resources=SMALL,
                expose=expose,
                depends_on=tuple(names[:i]) if draw(st.booleans()) else (),
            )
        )
    return Section(group="g", services=tuple(services))


@st.composite
def worlds(draw: st.DrawFn, leases: tuple[LeaseId, ...]) -> tuple[dict, dict, tuple]:
    """(state on chain or None, section or None) per lease, and anything at all that runs."""
    on_chain = {lease: draw(st.sampled_from([None, LeaseState.ACTIVE, LeaseState.CLOSING])) for lease in leases}
    held = {lease: draw(sections()) for lease in leases if draw(st.booleans())}
    observed = []
    for lease in leases:
        for name in NAMES:
            for ordinal in range(2):
                state = draw(st.sampled_from([None, *InstanceState]))
                if state is not None:
                    observed.append(
                        Observed(id=InstanceId(lease, name, ordinal), state=state, spec_digest="old", exit_code=1)
                    )
    return on_chain, held, tuple(observed)


def carry_out(situation: Situation, make_lease) -> Situation:
    """A world in which every action succeeds at once and every workload is well."""
    result = plan(situation, POLICY)
    observed = {one.id: one for one in situation.observed or ()}
    now = evolve(situation, memory=result.memory, now_ms=situation.now_ms + 120_000)
    for action in result.actions:
        match action:
            case Apply(desired=desired, network=network):
                specs = {spec.id: spec for spec in desired.instances}
                wanted = {id_ for id_, _ in desired.sandboxes}
                observed = {i: o for i, o in observed.items() if i.lease != action.lease or i in wanted}
                for id_ in wanted:
                    if id_ in specs:
                        digest = specs[id_].spec_digest
                        observed[id_] = Observed(id=id_, state=InstanceState.RUNNING, spec_digest=digest)
                    else:
                        observed[id_] = Observed(id=id_, state=InstanceState.SANDBOX)
                now = evolve(now, wired={**now.wired, action.lease: network})
            case Rewire(network=network):
                now = evolve(now, wired={**now.wired, action.lease: network})
            case Remove(lease=lease):
                observed = {i: o for i, o in observed.items() if i.lease != lease}
                wired = {other: network for other, network in now.wired.items() if other != lease}
                now = evolve(now, removed=now.removed | {lease}, wired=wired)
            case ForgetSection(lease=lease):
                now = evolve(now, sections={k: v for k, v in now.sections.items() if k != lease})
            case Confirm(changes=changes):
                told = {change.lease: change.status for change in changes}
                leases = tuple(
                    evolve(d, lease=evolve(d.lease, status=told.get(d.lease.id, d.lease.status))) for d in now.leases
                )
                now = evolve(now, leases=leases, confirm_due_ms=now.now_ms + 10**9)
            case ConfirmClosed(leases=gone):
                now = evolve(now, leases=tuple(d for d in now.leases if d.lease.id not in gone))
    closed = {i: () for i, o in observed.items() if o.state is InstanceState.RUNNING}
    return evolve(now, observed=tuple(observed.values()), closed_ports=closed)


@given(data=st.data())
@settings(deadline=None)
def test_from_every_world_repeated_passes_come_to_rest_with_exactly_what_ought_to_be(make_lease_factory, data):
    leases = (LeaseId(1, 0, 0), LeaseId(2, 0, 0))
    on_chain, held, observed = data.draw(worlds(leases))
    details = tuple(make_lease_factory(lease, state=state) for lease, state in on_chain.items() if state is not None)
    now = Situation(leases=details, sections=held, observed=observed, height=10, now_ms=NOW_MS)

    for _ in range(12):  # sandboxes, wiring, three levels of dependencies, and the endings beside them
        before = now
        now = carry_out(now, make_lease_factory)

    assert plan(now, POLICY).actions == (), before
    active = {lease for lease, state in on_chain.items() if state is LeaseState.ACTIVE}
    expected = {id_ for lease in active & held.keys() for id_ in workload.instance_specs(lease, held[lease], bytes(32))}
    left_alone = {one.id for one in observed if one.id.lease in active - held.keys()}
    assert {one.id for one in now.observed or ()} == expected | left_alone
    for lease in active & held.keys():
        assert plan(now, POLICY).judgements[lease].status is LeaseStatus.SERVING
    assert {d.lease.id for d in now.leases} == active


@given(data=st.data())
@settings(deadline=None)
def test_every_update_comes_to_rest_wired_first_and_touches_nothing_that_did_not_change(make_lease_factory, data):
    lease = LeaseId(1, 0, 0)
    old = data.draw(sections())
    services = tuple(
        evolve(
            each,
            args=("v2",) if data.draw(st.booleans()) else (),
            expose=each.expose if data.draw(st.booleans()) else (),
            depends_on=each.depends_on if data.draw(st.booleans()) else (),
        )
        for each in old.services
    )
    now = Situation(leases=(make_lease_factory(lease),), sections={lease: old}, observed=(), height=10, now_ms=NOW_MS)
    for _ in range(12):
        now = carry_out(now, make_lease_factory)
    now = evolve(now, sections={lease: evolve(old, services=services)})
    specs = workload.instance_specs(lease, now.sections[lease], bytes(32))
    kept = {one.id for one in now.observed if one.spec_digest == specs[one.id].spec_digest}
    for _ in range(12):
        for action in plan(now, POLICY).actions:
            if isinstance(action, Apply):
                assert kept <= {spec.id for spec in action.desired.instances}
                assert kept == set(specs) or now.wired[lease] == action.network, "before anything is made anew"
        now = carry_out(now, make_lease_factory)
    assert plan(now, POLICY).actions == ()
    assert plan(now, POLICY).judgements[lease].status is LeaseStatus.SERVING
    assert {one.id: one.spec_digest for one in now.observed} == {id_: spec.spec_digest for id_, spec in specs.items()}


# --- a port of the service's own and of its peer ---------------------------------------------------------------------


def test_fault_that_a_contested_port_explains_is_told_by_that_name(situation, seen, lease):
    where = {"contested": {lease: {"web": "port 80 is web's own and db's"}}}
    observed = seen(db=InstanceState.RUNNING, web=InstanceState.EXITED, other=InstanceState.RUNNING)
    judged = plan(situation(observed=observed, **where), POLICY).judgements[lease]
    assert judged.status is LeaseStatus.WORKLOAD_FAULT
    assert judged.reason == "web/0 port-conflict: exited with code 1; port 80 is web's own and db's"
    fine = plan(situation(observed=seen(db=InstanceState.RUNNING), **where), POLICY).judgements[lease]
    assert "port-conflict" not in fine.reason, "a port that two have is no fault of itself: 127.0.0.1 works"
