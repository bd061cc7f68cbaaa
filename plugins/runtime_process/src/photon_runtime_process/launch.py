"""Starts helpers: as whom, with what plan, and what it means when one cannot be started."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import attrs
import trio
from attrs import frozen

from photon_core.api import sandbox_net
from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import RuntimeFailure
from photon_runtime_process.config import SHOWN, Config
from photon_runtime_process.folder import Folder, Helper, Owner
from photon_runtime_process.helper.plan import Plan
from photon_runtime_process.wire import control_listener

SOURCES = (Path(__file__).parents[1], Path(sandbox_net.__file__).parents[2])
"""Where the helper, which starts without site-packages, finds its own modules and the contract's."""
BOOT = "import sys; sys.path.extend(sys.argv[1:]); from photon_runtime_process.helper.main import main; main()"
NOBODY = 65_534
HOSTNAME_MAX = 63
PROBE_INSTANCE = InstanceId(LeaseId(0, 0, 0), "probe", 0)

REMEDY = (
    "this runtime needs Linux 5.12 or newer and the right to make namespaces: allow it with "
    "`sysctl user.max_user_namespaces=10000` and, where these settings exist, "
    "`sysctl kernel.unprivileged_userns_clone=1` and `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; "
    "in a container, give it the capability SYS_ADMIN; or choose another runtime out of `photon plugin list`"
)


class CannotIsolate(RuntimeFailure):
    """The kernel, or whoever runs this machine, does not let us make a sandbox."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"this machine lets no sandbox be made: {step}: {why}", REMEDY)


@frozen
class Identity:
    """Who workloads run as. `separate`: as somebody else than the agent, which then is root and maps itself too."""

    uid: int
    gid: int
    separate: bool

    @classmethod
    def choose(cls, config: Config, instance_number: int) -> Identity:
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), separate=False)
        wanted = config.uid_first + instance_number % config.uid_count
        uid = next((i for i in (wanted, NOBODY) if _mapped(i)), None)
        if uid is None:
            raise CannotIsolate("user", f"root here has neither user {wanted} nor {NOBODY} to run workloads as")
        return cls(uid, uid, separate=True)


def _mapped(wanted: int) -> bool:
    """Whether the id exists in our own user namespace; in a container root may own few."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= wanted < first + count:
            return True
    return False


@frozen(kw_only=True)
class Launcher:
    """`hide` are Photon's own folders and what the config adds; `user_namespace` is what the probe found to work."""

    owner: Owner
    config: Config
    hide: tuple[str, ...]
    user_namespace: bool = True

    def identity(self, folder: Folder) -> Identity:
        return Identity.choose(self.config, int(folder.path.name[:8], 16))

    async def launch(self, folder: Folder, instance: InstanceId) -> Helper:
        """A new sandbox in a folder that holds no living one. Raises CannotIsolate; then nothing is left running."""
        identity = self.identity(folder)
        await trio.to_thread.run_sync(folder.prepare, instance, self.owner, identity.uid, identity.gid)
        label = f"{instance.service}-{instance.ordinal}"[:HOSTNAME_MAX]
        return await self.start(folder, identity, label, probe=False)

    async def probe(self, scratch: Path) -> Launcher:
        """Tries all of it, in the way that will be used. Root may do without a user namespace, nobody else."""
        folder = Folder(scratch / "0000000000000000")
        launcher = self
        identity = self.identity(folder)
        folder.prepare(PROBE_INSTANCE, self.owner, identity.uid, identity.gid)
        try:
            await launcher.start(folder, identity, "probe", probe=True)
        except CannotIsolate:
            if os.geteuid() != 0:
                raise
            launcher = attrs.evolve(self, user_namespace=False)
            await launcher.start(folder, identity, "probe", probe=True)
        finally:
            folder.remove()
        return launcher

    async def start(self, folder: Folder, identity: Identity, label: str, *, probe: bool) -> Helper:
        with folder.opened() as folder_fd, control_listener(folder_fd) as listener:
            plan = Plan(
                folder_fd=folder_fd,
                listener_fd=listener.fileno(),
                label=label,
                uid=identity.uid,
                gid=identity.gid,
                map_root=identity.separate,
                user_namespace=self.user_namespace,
                show=SHOWN + self.config.show,
                hide=self.hide,
                log_bytes=self.config.log_bytes,
                probe=probe,
            )
            done = await trio.run_process(
                [sys.executable, "-I", "-S", "-c", BOOT, *map(str, SOURCES)],
                stdin=plan.to_json().encode(),
                env={},
                cwd="/",
                pass_fds=(folder_fd, plan.listener_fd),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            said = done.stderr.decode(errors="replace")[-500:]
            raise CannotIsolate("start", f"the helper ended with {done.returncode} and said {said!r}") from None
        if "error" in answer:
            raise CannotIsolate(answer["step"], answer["error"])
        return Helper(answer["pid"], answer["start_time"])
