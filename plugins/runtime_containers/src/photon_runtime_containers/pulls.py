"""Images on their way: one pull for each image, however many instances wait for it.

A pull belongs to the runtime, not to the `apply` that wanted it first: that one waits for a while and then returns,
so that a lease can be changed or closed meanwhile, and the next one finds the pull still going on. A pull that nobody
waits for any more is given up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import trio
from attrs import define, field

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.calls import Calls
from photon_runtime_containers.engine import PullFailure, PullProgress, RegistryUnreachable

log = logging.getLogger(__name__)

PULLS_AT_ONCE_MAX = 3
"""Images, not layers: engines fetch several layers of each at once."""
MEGA = 10**6


@define(eq=False)
class Pull:
    """`waiting` are the digests of the instances that need it."""

    image: str
    since_ms: int
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    over: trio.Event = field(factory=trio.Event)
    progress: PullProgress = PullProgress()
    waiting: dict[InstanceId, str] = field(factory=dict)
    failure: Exception | None = None

    @property
    def reason(self) -> str:
        """What the tenant reads while it lasts."""
        done, total = self.progress.done_bytes // MEGA, self.progress.total_bytes // MEGA
        return f"pulling {self.image}" + (f": {done} MB of {total} MB" if total else "")


Settled = Callable[[InstanceId, str, str, bool], None]
"""Called for each who waited: its instance and digest, why there is no image, and whether the tenant is to see that."""


class Pulls:
    def __init__(self, calls: Calls, nursery: trio.Nursery, timeout_s: float, silence_s: float) -> None:
        self._calls, self._nursery = calls, nursery
        self._timeout_s, self._silence_s = timeout_s, silence_s
        self._turn = trio.CapacityLimiter(PULLS_AT_ONCE_MAX)
        self._running: dict[str, Pull] = {}

    def of(self, instance: InstanceId) -> Pull | None:
        return next((pull for pull in self._running.values() if instance in pull.waiting), None)

    def forget(self, lease: LeaseId, but: frozenset[InstanceId] = frozenset()) -> None:
        """Its instances wait no longer."""
        for pull in list(self._running.values()):
            for instance in [one for one in pull.waiting if one.lease == lease and one not in but]:
                del pull.waiting[instance]
            self._give_up_if_idle(pull)

    async def image(self, name: str, instance: InstanceId, digest: str, settled: Settled) -> Pull | None:
        """None when the image is here; else its pull, to be waited for. Raises PullFailure for what is no name."""
        here = await self._calls.ask(lambda: self._calls.engine.image(name))
        before = self.of(instance)
        if before is not None and (here is not None or before.image != name):
            before.waiting.pop(instance)
            self._give_up_if_idle(before)
        if here is not None:
            return None
        pull = self._running.get(name)
        if pull is None:
            pull = self._running[name] = Pull(name, time.time_ns() // 10**6)
            self._nursery.start_soon(self._run, pull, settled)
        pull.waiting[instance] = digest
        return pull

    def _give_up_if_idle(self, pull: Pull) -> None:
        if not pull.waiting:
            self._running.pop(pull.image, None)
            pull.scope.cancel()

    async def _run(self, pull: Pull, settled: Settled) -> None:
        try:
            with pull.scope:
                async with self._turn:
                    await self._pull(pull)
        except (PullFailure, RuntimeFailure) as failure:
            pull.failure = failure
            log.info("%s: %s", pull.image, failure)
        except Exception as problem:
            log.exception("the pull of %s failed", pull.image)
            pull.failure = RuntimeFailure(f"the image {pull.image} could not be pulled: {type(problem).__name__}")
        finally:
            if self._running.get(pull.image) is pull:
                del self._running[pull.image]
            pull.over.set()
        for instance, digest in pull.waiting.items():
            why = str(pull.failure) if pull.failure else ""
            settled(instance, digest, why, isinstance(pull.failure, PullFailure))

    async def _pull(self, pull: Pull) -> None:
        with trio.move_on_after(self._timeout_s) as patience:
            async with self._calls.stream(lambda: self._calls.engine.pull(pull.image)) as pump:
                while True:
                    with trio.move_on_after(self._silence_s) as silence:
                        progress = await pump.receive()
                    if silence.cancelled_caught:
                        why = f"{pull.image}: its registry sent nothing for {self._silence_s:g} s"
                        raise RegistryUnreachable(why)
                    if progress is None:
                        break
                    pull.progress = progress
        if patience.cancelled_caught:
            raise RegistryUnreachable(f"{pull.image}: not here after {self._timeout_s:g} s ({pull.reason})")
        if await self._calls.ask(lambda: self._calls.engine.image(pull.image)) is None:
            raise RegistryUnreachable(f"{pull.image}: its registry sent something else than this image")
