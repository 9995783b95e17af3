#!/usr/bin/env python3
"""Whether hostprof's memory stays flat: records a light, steady target for an hour and reads what is resident.

    flat.py HOSTPROF [--minutes 62] [--out DIR] [-- OPTION...]      as root; workload must lie beside HOSTPROF

The target is four threads that sleep and wake, some thousand times a second. Every half minute it notes, from
`/proc/PID/status`, what is resident in all, of that the memory of the process itself (anonymous), and of the files and
rings that are mapped. Leaves `memory.csv` in DIR beside the run, and prints the line through the second half: a leak is a
slope. What is after `--` goes to `hostprof record`.
"""

import argparse
import csv
import os
import signal
import subprocess
import time
from pathlib import Path

EVERY_S = 30
FIELDS = ["VmRSS", "RssAnon", "RssFile", "RssShmem", "VmHWM", "Threads"]


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return [int(values[field].split()[0]) for field in FIELDS]


def slope(points):
    """Least squares: KiB an hour."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    across = sum((x - mean_x) ** 2 for x, _ in points)
    return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in points) / across


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("hostprof")
    arguments.add_argument("--minutes", type=float, default=62)
    arguments.add_argument("--out", default="memory-run")
    arguments.add_argument("options", nargs="*")
    given = arguments.parse_args()
    hostprof = os.path.abspath(given.hostprof)
    workload = str(Path(hostprof).with_name("workload"))
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    sleeps = [workload, "sleeps", "--us", "1200", "--more", "3", "--count", "1000000000"]
    target = subprocess.Popen(sleeps, stdout=subprocess.DEVNULL)
    words = [hostprof, "record", "-o", str(out / "runs"), "--pid", str(target.pid), *given.options]
    recorder = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    points = []
    began = time.monotonic()
    try:
        with open(out / "memory.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["s", *(f"{field}_kib" if field != "Threads" else "threads" for field in FIELDS)])
            for step in range(1, int(given.minutes * 60 / EVERY_S) + 1):
                time.sleep(max(0.0, began + step * EVERY_S - time.monotonic()))
                if recorder.poll() is not None:
                    raise SystemExit(f"{words}: ended with {recorder.returncode} after {step * EVERY_S} s")
                values = status(recorder.pid)
                points.append((time.monotonic() - began, values))
                table.writerow([f"{points[-1][0]:.1f}", *values])
                file.flush()
    finally:
        if recorder.poll() is None:
            recorder.send_signal(signal.SIGINT)
            recorder.wait()
        target.kill()
        target.wait()
    half = points[len(points) // 2:]
    print(f"{len(points)} readings in {points[-1][0] / 60:.1f} min")
    for at, field in enumerate(FIELDS[:4]):
        values = [(when, values[at]) for when, values in points]
        second = [(when, values[at]) for when, values in half]
        print(
            f"{field:9} KiB: first {values[0][1]}, least {min(v for _, v in values)}, greatest {max(v for _, v in values)}, "
            f"last {values[-1][1]}; in the second half {slope(second):+.0f} an hour"
        )


main()
