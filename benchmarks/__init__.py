"""Where the figures of `docs/performance.md` come from. Each is a command; `--json` prints what a program reads.

    python -m benchmarks.throughput --help

They run from a checkout with every plugin installed (`make setup`), start real processes with real links and synced
disks, and leave nothing behind.
"""
