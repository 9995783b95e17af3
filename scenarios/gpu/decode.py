#!/usr/bin/env python3
"""Decodes rows of table gpu_ioctl again, from the raw bytes of their structures and the names' own data.

  decode.py ROWS DATA [--rows 30] [--seed 1]

ROWS: gpu_ioctl as hostprof exports it (`hostprof export RUN --to json --table gpu_ioctl`), of a recording made with
--keep-ioctl-bytes. DATA: a folder with rm_commands.csv, rm_classes.csv and statuses.csv, or with nvidia_rm_ctrl_cmds.csv
and nvidia_rm_classes.csv: a number and a name in each row. Shares no code with hostprof; offsets are those of nvos.h.

Prints what disagrees, the share of calls and of commands with a name, those without, and failures. Ends with 1 where a row
disagrees.
"""

import argparse
import collections
import csv
import json
import pathlib
import random
import struct
import sys

# Of nvos.h: status by number and structure size, for drivers since 535.43.02.
STATUS = {
    (0x27, 56): 40, (0x28, 20): 16, (0x29, 16): 12, (0x2A, 32): 28, (0x2B, 32): 28, (0x2B, 48): 40, (0x34, 28): 24,
    (0x35, 24): 20, (0x41, 56): 48, (0x4A, 184): 20, (0x4D, 72): 64, (0x4E, 56): 40, (0x4F, 32): 24, (0x52, 16): 12,
    (0x54, 56): 48, (0x57, 64): 56, (0x57, 56): 48, (0x58, 48): 40, (0x58, 40): 32, (0x59, 16): 12, (0x5E, 40): 32,
    (206, 16): 12, (207, 16): 12, (209, 12): 8,
}
ESCAPES = {
    0x27: "NV_ESC_RM_ALLOC_MEMORY", 0x29: "NV_ESC_RM_FREE", 0x2A: "NV_ESC_RM_CONTROL", 0x2B: "NV_ESC_RM_ALLOC",
    0x34: "NV_ESC_RM_DUP_OBJECT", 0x4A: "NV_ESC_RM_VID_HEAP_CONTROL", 0x4E: "NV_ESC_RM_MAP_MEMORY",
    0x4F: "NV_ESC_RM_UNMAP_MEMORY", 0x57: "NV_ESC_RM_MAP_MEMORY_DMA", 0x58: "NV_ESC_RM_UNMAP_MEMORY_DMA",
    201: "NV_ESC_REGISTER_FD", 206: "NV_ESC_ALLOC_OS_EVENT", 210: "NV_ESC_CHECK_VERSION_STR",
    214: "NV_ESC_SYS_PARAMS",
}
# Of uvm_ioctl.h, for drivers from 565.57.01 until before 590.44.01: there is no size to tell them by.
UVM_STATUS = {23: 8, 24: 8, 25: 28, 26: 16, 27: 48, 28: 24, 31: 24, 34: 16, 37: 36, 38: 16, 39: 4, 42: 36, 65: 32, 66: 32,
              70: 20, 72: 16, 73: 16, 75: 4, 0x30000001: 8}
UVM_LENGTH = {33: 8, 34: 8, 65: 8, 66: 8, 72: 8, 73: 8, 42: 8, 27: 40, 31: 16}
UVM_DRIVERS = (565, 590)
# Where the escape's length is, and what is to be added to what stands there.
LENGTH = {0x27: (32, 1), 0x4E: (24, 0), 0x57: (24, 0)}


def names(folder, *files):
    for file in files:
        path = folder / file
        if path.exists():
            table = collections.defaultdict(set)
            with path.open() as rows:
                for row in csv.DictReader(rows):
                    number = row.get("number") or row.get("cmd") or row.get("hClass")
                    table[int(number, 0)].add(row["name"])
            return table
    return {}


def word(data, at):
    return struct.unpack_from("<I", data, at)[0] if len(data) >= at + 4 else None


def long(data, at):
    return struct.unpack_from("<Q", data, at)[0] if len(data) >= at + 8 else None


def differences(row, commands, classes, statuses, driver):
    """What this row says otherwise than its bytes do."""
    enter = bytes.fromhex(row["enter_bytes"] or "")
    exit_ = bytes.fromhex(row["exit_bytes"] or "")
    wrong = []

    def expect(column, value):
        if row[column] != value:
            wrong.append(f"{column}: row {row[column]!r}, bytes {value!r}")

    def expect_status(at):
        if at is None or len(exit_) < at + 4 or row["ret"] < 0:
            return
        expect("nv_status", word(exit_, at))
        if statuses and row["nv_status_name"] not in statuses.get(word(exit_, at), {None}):
            wrong.append(f"nv_status_name: {row['nv_status_name']} is not a name of {word(exit_, at):#x}")

    if "uvm" in row["device"] or (row["name"] or "").startswith("UVM_"):
        for column in ("rm_cmd", "rm_class", "size_bytes"):
            expect(column, None)
        if UVM_DRIVERS[0] <= driver < UVM_DRIVERS[1]:
            expect("length_bytes", long(enter, UVM_LENGTH[row["request"]]) if row["request"] in UVM_LENGTH else row["length_bytes"])
            expect_status(UVM_STATUS.get(row["request"]))
        return wrong
    number = {name: nr for nr, name in ESCAPES.items()}.get(row["name"])
    direct = row["request"] & 0xFF
    if direct != 211:
        expect("size_bytes", row["request"] >> 16 & 0x3FFF)
        if direct in ESCAPES:
            expect("name", ESCAPES[direct])
        number = direct
    if number == 0x2A:
        expect("rm_cmd", word(enter, 8))
        if row["rm_cmd_name"] is not None and row["rm_cmd_name"] not in commands.get(word(enter, 8), ()):
            wrong.append(f"rm_cmd_name: {row['rm_cmd_name']} is not a name of {word(enter, 8):#x}")
        if row["rm_cmd_name"] is None and commands.get(word(enter, 8)):
            wrong.append(f"rm_cmd_name: null, the data has one for {word(enter, 8):#x}")
    if number in (0x27, 0x2B):
        expect("rm_class", word(enter, 12))
        if row["rm_class_name"] is not None and row["rm_class_name"] not in classes.get(word(enter, 12), ()):
            wrong.append(f"rm_class_name: {row['rm_class_name']} is not a name of {word(enter, 12):#x}")
    if number in LENGTH:
        at, more = LENGTH[number]
        expect("length_bytes", (long(enter, at) + more) if long(enter, at) else None if more else 0)
    expect_status(STATUS.get((number, row["size_bytes"])))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--rows", dest="number", type=int, default=30)
    parser.add_argument("--driver", default="0", help="the driver's version: unified memory's layouts move with it")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    commands = names(arguments.data, "rm_commands.csv", "nvidia_rm_ctrl_cmds.csv")
    classes = names(arguments.data, "rm_classes.csv", "nvidia_rm_classes.csv")
    statuses = names(arguments.data, "statuses.csv")
    rows = [json.loads(line) for line in arguments.rows.open()]
    rows = [row for row in rows if row["name"] is not None or row["device"].startswith("nvidia")]
    kept = [row for row in rows if row["enter_bytes"]]
    random.seed(arguments.seed)
    driver = int(arguments.driver.split(".")[0] or 0)
    bad = 0
    sampled = random.sample(kept, min(arguments.number, len(kept)))
    for label, some in (("random rows", sampled), ("all rows with bytes", kept)):
        wrong = 0
        for row in some:
            for difference in differences(row, commands, classes, statuses, driver):
                wrong += 1
                if wrong <= 20:
                    print(f"  {row['ts_mono_ns']} {row['device']} {row['request']:#x}: {difference}")
        print(f"{label}: {len(some)} decoded again, {wrong} differences")
        bad += wrong

    def is_named(row):
        return row["name"] is not None and (row["rm_cmd"] is None or row["rm_cmd_name"] is not None)

    # Told apart by device kind, request's name, and the number of what may lack one.
    def command(row):
        return (row["device"].rstrip("0123456789"), row["name"],
                row["rm_cmd"] if row["name"] is not None else row["request"])

    total = collections.Counter(command(row) for row in rows)
    unnamed = collections.Counter(command(row) for row in rows if not is_named(row))
    named = sum(total.values()) - sum(unnamed.values())
    print(f"calls {sum(total.values())}, named {named} ({100 * named / max(1, sum(total.values())):.2f} %)")
    distinct = len(total) - len(unnamed)
    print(f"distinct commands {len(total)}, named {distinct} ({100 * distinct / max(1, len(total)):.2f} %)")
    for (device, name, number), calls in unnamed.most_common():
        legacy = " legacy (GSS)" if name and number & 0x8000 else ""
        print(f"  without a name: {device} {name or 'request'} {number:#x} {calls} calls{legacy}")
    unread = sum(1 for row in rows if row["name"] == "NV_ESC_RM_CONTROL" and row["rm_cmd"] is None)
    print(f"controls without a command (unread or of another size): {unread}")
    failures = collections.Counter(
        (row["nv_status_name"] or hex(row["nv_status"]), row["rm_cmd_name"] or row["rm_class_name"] or row["name"])
        for row in rows if row["nv_status"])
    for (status, name), calls in failures.most_common():
        print(f"  failed: {status} {name} {calls}")
    return 1 if bad or not kept else 0


if __name__ == "__main__":
    sys.exit(main())
