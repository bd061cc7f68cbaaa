import json

import trio
from attrs import evolve

from photon_core.api.bech32m import encode_address
from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import InstanceState, Observed, RuntimeFailure
from photon_core.provider import status as status_module
from photon_core.provider.agent import funding_problem, stop_all_workloads
from photon_core.provider.chain import read_chain
from photon_core.provider.config import ProviderSettings
from photon_core.provider.driver import Agent
from photon_core.provider.status import STATUS_FILE, keep_written


async def test_operator_without_money_is_told_whom_to_pay(make_parts, chain):
    parts = make_parts()
    view = await read_chain(chain, parts.provider, parts.sender.address, parts.chain_id)
    settings = ProviderSettings(provider=encode_address(parts.provider), reserve_uptn=1_000)
    assert funding_problem(evolve(view, balance_uptn=1_001), settings) == ""
    told = funding_problem(evolve(view, balance_uptn=1_000), settings)
    assert "1000 uptn" in told
    assert f"photon tx transfer {encode_address(parts.sender.address)}" in told


async def test_workloads_are_stopped_whatever_the_runtime_says_of_one_of_them(make_parts, runtime):
    stuck, odd, other = (LeaseId(number, 0, 0) for number in (1, 2, 3))
    for lease in (stuck, odd, other):
        instance = InstanceId(lease, "web", 0)
        runtime.instances[instance] = Observed(id=instance, state=InstanceState.RUNNING)
    runtime.fail_with = {stuck: RuntimeFailure(what="it does not end"), odd: OSError(28, "No space left on device")}
    await stop_all_workloads(Agent(make_parts()))
    assert {instance.lease for instance in runtime.instances} == {stuck, odd}


async def test_status_that_cannot_be_written_is_tried_again(agent, tmp_path, monkeypatch, nursery):
    real, refused, written = status_module.write_atomically, [], trio.Event()

    def full(path, data, mode):
        if len(refused) < 2:
            refused.append(path)
            raise OSError(28, "No space left on device")
        real(path, data, mode)
        trio.from_thread.run_sync(written.set)

    monkeypatch.setattr(status_module, "write_atomically", full)
    monkeypatch.setattr(status_module, "WRITE_EVERY_S", 0.01)
    nursery.start_soon(keep_written, agent, tmp_path)
    with trio.fail_after(5):
        await written.wait()
    assert json.loads((tmp_path / STATUS_FILE).read_text())["problem"] == ""
