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


def die_with_parent() -> None:
    if IS_LINUX:
        _libc().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)


def confine(limits: dict[str, Any], *, readable: Sequence[str], folder: str) -> None:
    """Bound this process for good: limits, then files, then system calls."""
    die_with_parent()
    if IS_LINUX:
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
    with contextlib.suppress(FileNotFoundError, PermissionError):
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
# Their numbers on x86-64 and on 64-bit ARM, where each has one.
FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # the network
    "socket": (41, 198), "socketpair": (53, 199), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "connect": (42, 203), "io_uring_setup": (425, 425),
    # other processes
    "clone": (56, 220), "clone3": (435, 435), "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    # another view of the system
    "chroot": (161, 51), "pivot_root": (155, 41), "mount": (165, 40), "umount2": (166, 39), "mount_setattr": (442, 442), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "unshare": (272, 97),
    "setns": (308, 268), "open_by_handle_at": (304, 265),
    # the kernel itself, and wider limits
    "setrlimit": (160, 164), "reboot": (169, 142), "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219),
}  # fmt: skip
PRLIMIT = (
    302,
    261,
)  # reads limits, too, which is no harm: it is refused where it is given new ones
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, KILL_PROCESS, FAIL_WITH_EPERM = 0x7FFF_0000, 0x8000_0000, 0x0005_0001
NUMBER, ARCHITECTURE, THIRD_ARGUMENT = 0, 4, 32  # where they lie in what a filter sees
OTHER_ABI = 0x4000_0000  # x32's numbers begin here


@cache
def _filter() -> bytes | None:
    """The BPF program for this machine: each line is (what, lines to skip if so, lines to skip if not, operand)."""
    if platform.machine() not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[platform.machine()]
    numbers = [row[column] for row in FORBIDDEN.values() if row[column] is not None]
    end = [
        (JUMP_IF_EQUAL, 0, 4, PRLIMIT[column]),
        (LOAD, 0, 0, THIRD_ARGUMENT),
        (JUMP_IF_EQUAL, 0, 3, 0),
        (LOAD, 0, 0, THIRD_ARGUMENT + 4),
        (JUMP_IF_EQUAL, 0, 1, 0),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL_WITH_EPERM),
    ]
    to_refusal = len(numbers) + len(end) - 1
    lines = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_AT_LEAST, to_refusal, 0, OTHER_ABI),
        *((JUMP_IF_EQUAL, to_refusal - place, 0, number) for place, number in enumerate(numbers, 1)),
        *end,
    ]  # fmt: skip
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
