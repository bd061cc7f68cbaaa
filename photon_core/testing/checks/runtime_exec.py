"""Commands beside a workload: each check is one sentence of `ExecSession` or `Runtime.exec`.

Commands are a shell's, so a terminal is asked about by `test -t` and `stty size`, as a person would.
"""

from __future__ import annotations

from contextlib import suppress

import trio

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import ExecSession, ExecStream, InstanceState, Runtime, RuntimeFailure, TerminalSize
from photon_core.testing.checks.runtime_kit import (
    FOREVER,
    RuntimeKit,
    desired,
    echo_forever,
    run_beside,
    said,
    session,
    until,
)

SIZE = TerminalSize(columns=101, rows=37)
LARGER = TerminalSize(columns=132, rows=50)
FLOOD_BYTES = 3_000_000
MORE_THAN_BUFFERS = 32 * 2**20
"""No pipe, socket or buffer on the way may hold as much of what nobody reads."""
KILLED = 128
STUCK_S = 1.0
"""What was not written by then waits for its reader."""


async def exec_gives_output_and_exit_code(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        done = await run_beside(runtime, spec.id, "echo said; exit 7")
        assert (done.exit_code, done.stdout, done.stderr) == (7, b"said\n", b"")
        assert (await run_beside(runtime, spec.id, "kill -9 $$")).exit_code == 128 + 9


async def exec_tells_stderr_apart_without_a_terminal(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        done = await run_beside(runtime, spec.id, "echo said; echo aside >&2")
        assert (done.stdout, done.stderr) == (b"said\n", b"aside\n")


async def exec_takes_input_and_its_end(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        assert (await run_beside(runtime, spec.id, ("cat",), b"given\n")).stdout == b"given\n"
        async with session(runtime, spec.id, ("cat",)) as talk:
            for word in (b"first\n", b"second\n"):
                await talk.write(word)
                assert await heard(talk, word) == word
            await talk.end_input()
            await talk.end_input()
            assert await talk.read() is None
            assert await talk.exit_code() == 0


async def exec_drops_input_that_nobody_reads(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        assert (await run_beside(runtime, spec.id, "exit 3", bytes(FLOOD_BYTES))).exit_code == 3
        async with session(runtime, spec.id, "exit 4") as over:
            assert await over.exit_code() == 4
            await over.write(b"too late")
            await over.end_input()


async def exec_passes_large_output_whole(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        flood = await run_beside(runtime, spec.id, f"yes | head -c {FLOOD_BYTES}")
        assert flood.exit_code == 0
        assert flood.stdout == b"y\n" * (FLOOD_BYTES // 2)


async def exec_waits_for_a_slow_reader(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        async with session(runtime, spec.id, f"yes | head -c {MORE_THAN_BUFFERS}; echo > all-written") as unread:
            await trio.sleep(STUCK_S)
            assert (await run_beside(runtime, spec.id, "test -e all-written")).exit_code != 0
            taken = 0
            while (piece := await unread.read()) is not None:
                taken += len(piece.data)
            assert taken == MORE_THAN_BUFFERS
            assert await unread.exit_code() == 0
        assert (await run_beside(runtime, spec.id, "test -e all-written")).exit_code == 0


async def exec_write_waits_for_a_slow_command(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime, session(runtime, spec.id, ("sleep", "1000")) as busy:
        with trio.move_on_after(STUCK_S) as scope:
            await busy.write(bytes(MORE_THAN_BUFFERS))
        assert scope.cancelled_caught


async def exec_terminal_is_one_of_the_size_asked_for(kit: RuntimeKit) -> None:
    """From the moment on in which `exec` returned; so the command waits for a word before it asks."""
    spec = kit.spec("web", FOREVER)
    ask = "test -t 0 && test -t 1 && test -t 2 && stty size"
    async with kit.leased(spec) as runtime:
        assert (await run_beside(runtime, spec.id, ask)).exit_code != 0
        script = f"read word; {ask}; echo aside >&2; exit 5"
        on_terminal = await run_beside(runtime, spec.id, script, b"now\n", terminal=SIZE)
        assert on_terminal.stdout.split() == [b"now", b"37", b"101", b"aside"]
        assert (on_terminal.exit_code, on_terminal.stderr) == (5, b"")


async def exec_terminal_is_resized_and_the_command_told(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    script = "read word; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    async with kit.leased(spec) as runtime, session(runtime, spec.id, script, SIZE) as screen:
        await screen.write(b"now\n")
        await heard(screen, b"ready")
        await screen.resize(LARGER)
        assert (await heard(screen, b"132")).split() == [b"50", b"132"]
    async with kit.leased(spec) as runtime, session(runtime, spec.id, "echo piped") as pipes:
        await pipes.resize(LARGER)  # nothing
        assert await heard(pipes, b"piped\n") == b"piped\n"


async def exec_terminal_controls_its_session(kit: RuntimeKit) -> None:
    """Ctrl-C interrupts what runs on it, Ctrl-D ends the input of a shell."""
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
        async with session(runtime, spec.id, script, SIZE) as screen:
            await heard(screen, b"ready")
            await screen.write(b"\x03")
            await heard(screen, b"caught")
            assert await ended(screen) == 9
        async with session(runtime, spec.id, "echo ready; cat; exit 6", SIZE) as screen:
            await heard(screen, b"ready")
            await screen.end_input()
            assert await ended(screen) == 6


async def exec_unknown_command_is_told_as_a_shell_does(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        done = await run_beside(runtime, spec.id, ("no-such-command-here",))
        assert (done.exit_code, done.stdout) == (127, b"")
        assert b"no-such-command-here" in done.stderr
        shown = await run_beside(runtime, spec.id, ("no-such-command-here",), terminal=SIZE)
        assert shown.exit_code == 127
        assert b"no-such-command-here" in shown.stdout


async def exec_closed_kills_the_command(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    for terminal in (None, SIZE):
        async with kit.leased(spec) as runtime:
            async with session(runtime, spec.id, f"echo $$ > pid; echo ready; {FOREVER}", terminal) as talk:
                await heard(talk, b"ready")
                assert (await run_beside(runtime, spec.id, "kill -0 $(cat pid)")).exit_code == 0
                await talk.aclose()
                await talk.aclose()
            await gone(runtime, spec.id, "pid")
            await raises_failure_or_ends(talk)


async def exec_commands_run_side_by_side(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with (
        kit.leased(spec) as runtime,
        session(runtime, spec.id, ("cat",)) as one,
        session(runtime, spec.id, ("cat",)) as other,
    ):
        await other.write(b"other\n")
        await one.write(b"one\n")
        assert await heard(one, b"one\n") == b"one\n"
        assert await heard(other, b"other\n") == b"other\n"


async def exec_is_what_the_workload_is(kit: RuntimeKit) -> None:
    """User, environment, folder and capabilities; only TERM is added, and only beside a terminal."""
    look = "id -u; pwd; echo $COLOUR; cat /proc/self/status | grep ^Cap"
    spec = kit.spec("web", f"{look}; echo END; {FOREVER}", env=(("COLOUR", "deep blue"),))
    async with kit.leased(spec) as runtime:
        of_workload = (await said(runtime, spec.id, b"END\n")).removesuffix(b"END\n")
        assert b"deep blue" in of_workload
        assert (await run_beside(runtime, spec.id, look)).stdout == of_workload
        on_terminal = (await run_beside(runtime, spec.id, look, terminal=SIZE)).stdout
        assert on_terminal.replace(b"\r\n", b"\n") == of_workload


async def exec_does_not_survive_the_instance(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    changed = kit.spec("web", echo_forever("another"))
    for change in ("replaced", "removed"):
        async with kit.leased(spec) as runtime, session(runtime, spec.id, f"echo ready; {FOREVER}") as talk:
            await heard(talk, b"ready")
            if change == "replaced":
                await runtime.apply(desired(changed))
                await said(runtime, spec.id, b"another")
            else:
                await runtime.remove(spec.id.lease)
            await raises_failure_or_ends(talk)


async def exec_in_an_unknown_instance_is_refused(kit: RuntimeKit) -> None:
    spec, ended_one = kit.spec("web", FOREVER), kit.spec("job", "exit 0")
    async with kit.leased(spec, ended_one) as runtime:
        await until(runtime, ended_one.id, InstanceState.EXITED)
        assert (await run_beside(runtime, spec.id, "true")).exit_code == 0
        unknown = InstanceId(spec.id.lease, "web", 7)
        for of in (unknown, ended_one.id):
            try:
                await run_beside(runtime, of, "true")
            except RuntimeFailure:
                pass
            else:
                raise AssertionError(f"a command ran beside {of}, which does not")


# --- words ---------------------------------------------------------------------------------------------------------


async def heard(talk: ExecSession, what: bytes) -> bytes:
    """All of stdout until it has said it."""
    so_far = b""
    while what not in so_far:
        piece = await talk.read()
        assert piece is not None, f"it ended without {what!r}, after {so_far[-200:]!r}"
        assert piece.stream is ExecStream.STDOUT, piece
        so_far += piece.data
    return so_far


async def ended(talk: ExecSession) -> int:
    while await talk.read() is not None:
        pass
    return await talk.exit_code()


async def gone(runtime: Runtime, of: InstanceId, pid_file: str) -> None:
    """Waits until no such process is left. The check's own deadline bounds it."""
    await run_beside(runtime, of, f"while kill -0 $(cat {pid_file}); do sleep 0.05; done")


async def raises_failure_or_ends(talk: ExecSession) -> None:
    """Somebody killed it: the session says so by a failure, or by the exit code of a killed command."""
    with suppress(RuntimeFailure):
        assert await ended(talk) > KILLED


EXEC_CHECKS = (
    exec_gives_output_and_exit_code,
    exec_tells_stderr_apart_without_a_terminal,
    exec_takes_input_and_its_end,
    exec_drops_input_that_nobody_reads,
    exec_passes_large_output_whole,
    exec_waits_for_a_slow_reader,
    exec_write_waits_for_a_slow_command,
    exec_terminal_is_one_of_the_size_asked_for,
    exec_terminal_is_resized_and_the_command_told,
    exec_terminal_controls_its_session,
    exec_unknown_command_is_told_as_a_shell_does,
    exec_closed_kills_the_command,
    exec_commands_run_side_by_side,
    exec_is_what_the_workload_is,
    exec_does_not_survive_the_instance,
    exec_in_an_unknown_instance_is_refused,
)
