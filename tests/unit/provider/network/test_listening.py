"""The accept loop: nobody's connection, and no error of the kernel's, ends it or keeps the loop to itself."""

import errno
import socket

import pytest
import trio
import trio.testing

from photon_core.provider.network import listening as module
from photon_core.provider.network.listening import Listening, listen


class Kernel:
    """A listening socket whose `accept` does what the test says, and then ends."""

    def __init__(self, answers):
        self.answers = list(answers)

    def setblocking(self, _flag):
        pass

    def accept(self):
        answer = self.answers.pop(0) if self.answers else OSError(errno.EBADF, "closed")
        if isinstance(answer, OSError):
            raise answer
        return answer, None

    def close(self):
        pass


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EPERM, errno.EPROTO])
async def test_accept_that_fails_is_tried_again_after_a_pause(number, nursery, autojump_clock):
    begun = trio.current_time()
    await Listening(Kernel([OSError(number, "no")] * 3), None, nursery).run()
    assert trio.current_time() - begun == pytest.approx(3 * module.ACCEPT_PAUSE_S)


async def test_client_that_has_gone_again_slows_down_nobody(nursery, autojump_clock):
    begun = trio.current_time()
    await Listening(Kernel([OSError(errno.ECONNABORTED, "gone")] * 3), None, nursery).run()
    assert trio.current_time() == begun


async def test_crowd_that_waits_keeps_nobody_from_being_served(nursery):
    """Each is served while the next ones still wait to be accepted."""
    pairs = [socket.socketpair() for _ in range(3)]
    kernel = Kernel([ours for ours, _ in pairs])
    waiting = []

    async def handle(_connection):
        waiting.append(len(kernel.answers))

    await Listening(kernel, handle, nursery).run()
    await trio.testing.wait_all_tasks_blocked()
    assert waiting[0] > 0
    for _, theirs in pairs:
        theirs.close()


async def test_bug_with_one_connection_is_logged_and_the_next_is_served(nursery, caplog):
    served = trio.Event()

    async def handle(connection):
        if not caplog.records:
            raise ZeroDivisionError
        served.set()

    listening = Listening(listen("127.0.0.1", 0), handle, nursery)
    address = listening._sock.getsockname()
    nursery.start_soon(listening.run)
    with trio.fail_after(5):
        for _ in range(2):
            stream = await trio.open_tcp_stream(*address)
            assert await stream.receive_some() == b""
            await stream.aclose()
        await served.wait()
    listening.close()
