"""The sandbox's image: one layer with one program of some hundred bytes that does nothing until it is told to end.

It is made here, byte by byte, so that a sandbox needs no registry, no compiler and nobody else's binary. The program
blocks SIGTERM and SIGINT, waits for one of them, and ends: process 1 of a PID namespace would never get a signal that
it neither handles nor blocks. There is nobody to reap: a workload has a PID namespace of its own and joins the network
alone.

The archive is what `docker save` writes, and the same bytes every time. The tag says what is inside, so another version
of this file makes another image.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile

from photon_core.api.runtime import RuntimeFailure

PROGRAM = "/pause"
REPOSITORY = "photon.internal/sandbox"
SIGINT, SIGTERM = 2, 15
SIGNALS = struct.pack("<Q", 1 << (SIGINT - 1) | 1 << (SIGTERM - 1))
LOADED_AT = 0x400000
HEADERS_BYTES = 64 + 56
"""Of an ELF file with one segment; the code begins there."""

# Each: rt_sigprocmask(SIG_BLOCK, &set, NULL, 8); again: rt_sigtimedwait(&set, NULL, NULL, 8); below 0, go to again;
# exit_group(0); and then the set, which is aligned to eight bytes.
X86_64 = bytes.fromhex(
    "31ff"  # xor edi, edi
    "488d3529000000"  # lea rsi, [rip+41]: the set
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "b80e000000"  # mov eax, 14
    "0f05"  # syscall
    "488d3d13000000"  # again: lea rdi, [rip+19]: the set
    "31f6"  # xor esi, esi
    "b880000000"  # mov eax, 128
    "0f05"  # syscall; edx and r10d are as before
    "85c0"  # test eax, eax
    "78ec"  # js again
    "31ff"  # xor edi, edi
    "b0e7"  # mov al, 231: what was in eax is a signal's number
    "0f05"  # syscall
)
AARCH64 = struct.pack(
    "<14I",
    0xD2800000,  # mov x0, 0
    0x100001A1,  # adr x1, 52 bytes on: the set
    0xD2800002,  # mov x2, 0
    0xD2800103,  # mov x3, 8
    0xD28010E8,  # mov x8, 135
    0xD4000001,  # svc 0
    0x10000100,  # again: adr x0, 32 bytes on: the set
    0xD2800001,  # mov x1, 0
    0xD2801128,  # mov x8, 137
    0xD4000001,  # svc 0; x2 and x3 are as before
    0xB7FFFF80,  # tbnz x0, 63, again
    0xD2800000,  # mov x0, 0
    0xD2800BC8,  # mov x8, 94
    0xD4000001,  # svc 0
)
MACHINES = {"x86_64": (62, "amd64", X86_64), "aarch64": (183, "arm64", AARCH64)}
"""By the kernel's word: the number in an ELF file, the word in an image, the code."""


def program(architecture: str) -> bytes:
    """A static ELF executable. RuntimeFailure for an architecture that nobody has written it for."""
    number, _, code = _machine(architecture)
    size = HEADERS_BYTES + len(code) + len(SIGNALS)
    identity = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    header = identity + struct.pack(
        "<HHIQQQIHHHHHH", 2, number, 1, LOADED_AT + HEADERS_BYTES, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )
    readable_and_executable = 5
    segment = struct.pack("<IIQQQQQQ", 1, readable_and_executable, 0, LOADED_AT, LOADED_AT, size, size, 0x10000)
    return header + segment + code + SIGNALS


def _machine(architecture: str) -> tuple[int, str, bytes]:
    machine = MACHINES.get(architecture)
    if machine is None:
        what = f"there is no sandbox for the engine's architecture {architecture!r}"
        raise RuntimeFailure(what, f"use a machine that is one of {', '.join(MACHINES)}")
    return machine


def image_name(architecture: str) -> str:
    return f"{REPOSITORY}:{hashlib.sha256(_config(architecture)).hexdigest()[:16]}"


def archive(architecture: str) -> bytes:
    """To be loaded by an engine; gives it the image `image_name(architecture)`."""
    layer, config = _layer(architecture), _config(architecture)
    config_name, layer_name = f"{hashlib.sha256(config).hexdigest()}.json", f"{hashlib.sha256(layer).hexdigest()}.tar"
    manifest = [{"Config": config_name, "RepoTags": [image_name(architecture)], "Layers": [layer_name]}]
    return _tar({config_name: config, layer_name: layer, "manifest.json": json.dumps(manifest).encode()})


def _layer(architecture: str) -> bytes:
    return _tar({PROGRAM.removeprefix("/"): program(architecture)}, mode=0o555)


def _config(architecture: str) -> bytes:
    epoch = "1970-01-01T00:00:00Z"
    return json.dumps(
        {
            "architecture": _machine(architecture)[1],
            "os": "linux",
            "created": epoch,
            "config": {"Entrypoint": [PROGRAM], "User": "65534:65534", "StopSignal": "SIGTERM"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(_layer(architecture)).hexdigest()}"]},
            "history": [{"created": epoch, "comment": "made by photon"}],
        },
        sort_keys=True,
    ).encode()


def _tar(files: dict[str, bytes], mode: int = 0o444) -> bytes:
    """The same bytes for the same files: no times, no owners."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, contents in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(contents), mode
            tar.addfile(entry, io.BytesIO(contents))
    return packed.getvalue()
