"""A session of processes is ended as a whole, and nobody else with it."""

from __future__ import annotations

import os
import signal
import subprocess

from photon_runtime_containers.netns import same_network
from photon_runtime_containers.processes import Process, kill_session, session_of


def test_session_goes_with_its_leader_and_others_stay() -> None:
    script = "sleep 1000 & sleep 1000 & echo ready; wait"
    with (
        subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE) as talk,
        subprocess.Popen(["sleep", "1000"], start_new_session=True) as other,
    ):
        assert talk.stdout is not None
        talk.stdout.readline()
        leader = Process.of(talk.pid)
        assert leader is not None
        assert len(session_of(talk.pid)) == 3
        kill_session(leader)
        assert talk.wait(5) == -signal.SIGKILL
        assert not session_of(talk.pid)
        assert other.poll() is None
        other.kill()


def test_what_a_dead_leader_left_goes_too() -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 1000 >/dev/null & read line"],
        start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    ) as talk:  # fmt: skip
        leader = Process.of(talk.pid)
        assert leader is not None
        talk.communicate(b"end\n")
        assert not leader.alive
        assert len(session_of(leader.pid)) == 1
        kill_session(leader)
        assert not session_of(leader.pid)


def test_pid_of_somebody_else_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as other:
        kill_session(Process(other.pid, 1))
        assert other.poll() is None
        other.kill()


def test_networks_are_compared_by_what_they_are() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert same_network(os.getpid(), os.getppid())
    assert same_network(os.getpid(), gone.pid)
    assert not same_network(gone.pid, os.getpid())
