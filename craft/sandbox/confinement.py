"""What a job's process gives up before it sees a byte from outside. On Linux each step asks the kernel directly, and one that is not to be had is left out."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import resource
import struct
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

IS_LINUX = sys.platform == "linux"

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 38, 22
SIGKILL = 9
CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def leave_network() -> bool:
    """Move to a network of our own that has no interface. In an own user namespace, so that not even root finds the way back."""
    return IS_LINUX and (
        _libc().unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0
        or _libc().unshare(CLONE_NEWNET) == 0
    )


def confine(limits: dict[str, Any], *, readable: Sequence[str], folder: str) -> None:
    """Bound this process for good: limits, then files, then system calls."""
    if IS_LINUX:
        _libc().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        _libc().prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _set_limits(limits)
    if IS_LINUX:
        _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _restrict_files(readable, folder)
        _restrict_system_calls()


# --- Limits ---


def _set_limits(limits: dict[str, Any]) -> None:
    seconds = math.ceil(limits["seconds"]) + 1
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _limit(resource.RLIMIT_NOFILE, limits["open_files"])
    if IS_LINUX:
        _limit(
            resource.RLIMIT_NPROC, 0
        )  # root is exempt; the system call filter is not
        _limit(resource.RLIMIT_AS, _address_space() + limits["memory_bytes"])
    else:
        _watch_memory(limits["memory_bytes"])


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _watch_memory(most: int) -> None:
    """Where the kernel does not bound memory (macOS): a thread that looks, and ends the process. Good against growth, not against one great leap."""
    unit = 1 if sys.platform == "darwin" else 1024
    allowed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit + most

    def watch() -> None:
        while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit <= allowed:
            time.sleep(0.02)
        os._exit(9)

    threading.Thread(target=watch, daemon=True).start()


# --- Files: Landlock (Linux 5.13) ---

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (
    1 << bit for bit in range(6)
)
MAKE_DIR, MAKE_REG, TRUNCATE = 1 << 7, 1 << 8, 1 << 14
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | TRUNCATE
ON_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
# By version of the interface: how many rights on files it knows, whether TCP, whether signals and abstract sockets.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
TCP, SCOPES = 0b11, 0b11


def _restrict_files(readable: Sequence[str], folder: str) -> bool:
    version = _libc().syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    handled = (1 << FILE_RIGHTS.get(version, 16)) - 1
    rules = struct.pack(
        "QQQ", handled, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0
    )
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _libc().syscall(LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    for path in (*readable, *_libraries()):
        _allow(ruleset, path, READ & handled)
    _allow(ruleset, folder, WRITE & handled)
    done: int = _libc().syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return done == 0


def _allow(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights &= rights if Path(path).is_dir() else ON_A_FILE
            rule = struct.pack("=Qi", rights, descriptor)
            if _libc().syscall(LANDLOCK_ADD_RULE, ruleset, 1, rule, 0) != 0:
                raise OSError(ctypes.get_errno(), "landlock refused a rule")
        finally:
            os.close(descriptor)


@cache
def _libraries() -> tuple[str, ...]:
    """Where modules are imported from that were not yet: the interpreter's folders, never the project's."""
    return tuple(
        {
            sysconfig.get_path(name)
            for name in ("stdlib", "platstdlib", "purelib", "platlib")
        }
    )


# --- System calls: seccomp ---

# What no job needs: the network, other processes, more rights, wider limits. A list of what is forbidden and not of what is allowed, because what a C
# library calls changes with its version; it stands behind the namespace and Landlock, not in their place.
FORBIDDEN = {
    "x86_64": (
        0xC000003E,
        (
            (
                41,
                42,
                43,
                49,
                50,
                53,
                288,
            ),  # socket connect accept bind listen socketpair accept4
            (56, 57, 58, 59, 322, 435),  # clone fork vfork execve execveat clone3
            (
                62,
                101,
                129,
                200,
                234,
                297,
                310,
                311,
                424,
                434,
                438,
            ),  # kill ptrace …sigqueueinfo tkill tgkill process_vm_… pidfd_…
            (
                155,
                161,
                165,
                166,
                272,
                304,
                308,
                428,
                429,
                430,
                431,
                432,
                442,
            ),  # pivot_root chroot mount umount unshare open_by_handle_at setns …
            (
                160,
                302,
                169,
                175,
                246,
                313,
                320,
            ),  # setrlimit prlimit64 reboot init_module kexec_load …
            (
                248,
                249,
                250,
                298,
                321,
                323,
                425,
            ),  # keys perf_event_open bpf userfaultfd io_uring_setup
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            (198, 199, 200, 201, 202, 203, 242),
            (220, 221, 281, 435),
            (117, 129, 130, 131, 138, 240, 270, 271, 424, 434, 438),
            (39, 40, 41, 51, 97, 265, 268, 428, 429, 430, 431, 432, 442),
            (164, 261, 142, 104, 105, 273, 294),
            (217, 218, 219, 241, 280, 282, 425),
        ),
    ),
}
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, KILL_PROCESS, FAIL_WITH_EPERM = 0x7FFF_0000, 0x8000_0000, 0x0005_0001
NUMBER_OFFSET, ARCHITECTURE_OFFSET = 0, 4
OTHER_ABI = 0x4000_0000  # x32's numbers begin here


@cache
def _filter() -> bytes | None:
    """The BPF program for this machine."""
    if platform.machine() not in FORBIDDEN:
        return None
    architecture, groups = FORBIDDEN[platform.machine()]
    numbers = [number for group in groups for number in group]
    lines = [
        (LOAD, 0, 0, ARCHITECTURE_OFFSET),
        (JUMP_IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_OFFSET),
        (JUMP_IF_AT_LEAST, len(numbers) + 1, 0, OTHER_ABI),
    ]
    lines += [
        (JUMP_IF_EQUAL, len(numbers) - place, 0, number)
        for place, number in enumerate(numbers)
    ]
    lines += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, FAIL_WITH_EPERM)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _restrict_system_calls() -> bool:
    program = _filter()
    if program is None:
        return False
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack(
        "HxxxxxxP" if ctypes.sizeof(ctypes.c_void_p) == 8 else "HxxP",
        len(program) // 8,
        ctypes.addressof(buffer),
    )
    done: int = _libc().prctl(PR_SET_SECCOMP, 2, header, 0, 0)
    return done == 0
