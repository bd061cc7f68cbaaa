"""The helper: one small process per sandbox, alone with the workload in its namespaces.

Theory of operation. The agent starts `python -I -S … main` once per sandbox and hands it a folder, a listening socket
and a plan (`plan.py`). Three processes follow (`main.py`):

    P0  stays outside. It writes the user namespace's id maps, writes down who the helper is, and ends.
    C   makes the namespaces (`isolate.py`) and ends; it exists only because a PID namespace begins with a child.
    P1  is process 1 of the sandbox: it builds the file tree (`rootfs.py`), then serves the agent (`serve.py`).

P1 has no thread, reads nothing from disk after it closed the old root, and lives until it is killed; the kernel then
kills everything else in its PID namespace, and network, mounts and the rest go with the last process. So "is the
sandbox gone" is one question about one process, which the agent asks by pid and start time.

P1 keeps its capabilities in its own user namespace and cannot be traced (not dumpable). The workload is its child with
no capability, no way to get one, and no further user namespace (`drop.py`).

Only the standard library is imported here: the helper has to be small, and it starts without `site`.
"""
