"""
Runs a program for which the kernel refuses some system calls, as old kernels and containers' profiles do.

``python -m tests.harness.refusing_system_calls ERRNO NAME[,NAME...] PROGRAM [ARGUMENT...]``
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

NUMBERS = {
    "x86_64": {"pidfd_open": 434, "memfd_create": 319, "eventfd2": 290, "membarrier": 324},
    "aarch64": {"pidfd_open": 434, "memfd_create": 279, "eventfd2": 19, "membarrier": 283},
}
"""The tables of system calls in Linux, arch/x86/entry/syscalls and include/uapi/asm-generic/unistd.h."""
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
SET_NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    """A filter of seccomp: its length in instructions, and where they are."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def is_supported() -> bool:
    """Whether the numbers of this machine's system calls are known."""
    return sys.platform == "linux" and platform.machine() in NUMBERS


def refuse(error: int, names: list[str]) -> None:
    """
    Have the kernel answer these system calls of this process, and of all that it starts, with an error.

    :raises OSError: the kernel takes no such filter.
    """
    steps = [(LOAD, 0, 0, 0)]
    for name in names:
        steps += [(JUMP_IF_EQUAL, 0, 1, NUMBERS[platform.machine()][name]), (RETURN, 0, 0, REFUSE | error)]
    steps.append((RETURN, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter")


if __name__ == "__main__":
    refuse(int(sys.argv[1]), sys.argv[2].split(","))
    os.execvp(sys.argv[3], sys.argv[3:])
