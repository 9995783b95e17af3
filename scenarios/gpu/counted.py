#!/usr/bin/env python3
"""Runs a program and counts its ioctls, and its children's, in the kernel: a perf counter of syscalls:sys_enter_ioctl.

  counted.py FILE COMMAND...     FILE gets the count; those of terminals and files (0x5400 to 0x5fff) are left out

Shares nothing with hostprof. FILE is not written where the kernel allows no counter.
"""

import ctypes
import os
import struct
import sys

ID = "/sys/kernel/tracing/events/syscalls/sys_enter_ioctl/id"
PERF_EVENT_OPEN = 298
TRACEPOINT = 2
BYTES = 112
DISABLED, INHERIT, ENABLE_ON_EXEC = 1 << 0, 1 << 1, 1 << 12
SET_FILTER = 0x40082406
OTHERS = b"cmd < 0x5400 || cmd > 0x5fff"


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    file, command = sys.argv[1], sys.argv[2:]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os.execvp(command[0], command)
    counter = -1
    try:
        with open(ID) as number:
            attribute = bytearray(BYTES)
            struct.pack_into("<IIQ", attribute, 0, TRACEPOINT, BYTES, int(number.read()))
            struct.pack_into("<Q", attribute, 40, DISABLED | INHERIT | ENABLE_ON_EXEC)
        counter = libc.syscall(PERF_EVENT_OPEN, (ctypes.c_char * BYTES).from_buffer(attribute), child, -1, -1, 0)
        if counter < 0 or libc.ioctl(counter, ctypes.c_ulong(SET_FILTER), ctypes.c_char_p(OTHERS)) != 0:
            print(f"counted.py: no counter: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
            counter = -1
    except OSError as error:
        print(f"counted.py: no counter: {error}", file=sys.stderr)
    os.write(write, b"x")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if counter >= 0:
        with open(file, "w") as out:
            print(struct.unpack("<Q", os.read(counter, 8))[0], file=out)
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
