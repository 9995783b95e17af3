#!/usr/bin/env python3
"""What each tool costs its target: time with the tool over time without, in alternating pairs.

    cost.py HOSTPROF [--pairs 7] [--only NAME] [--pid PID --url URL]      as root; calibration must lie beside HOSTPROF

A pattern does a fixed number of operations and says how long it took, so that a tool's own start and end do not count.
A server is loaded by `hostprof load`, whose requests are timed. Prints a row for each tool: the median ratio of the
pairs, and the least and the greatest.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
OPERATIONS = {"compute-heavy": 250, "launch-heavy": 6_000_000, "sync-heavy": 10_000, "alloc-heavy": 2_000}
TOOLS = ["strace -f -c", "strace -f", "perf record -g", "perf sched record", "bpftrace", "hostprof"]


def tool_words(tool, hostprof, folder, target):
    """The command line of a tool; target: the words that name it, a command or `-p PID`."""
    attach = target[0] == "-p"
    if tool == "strace -f -c":
        return ["strace", "-f", "-c", "-o", f"{folder}/c.txt", *target]
    if tool == "strace -f":
        return ["strace", "-f", "-s", "0", "-ttt", "-T", "-o", f"{folder}/s.txt", *target]
    if tool == "perf record -g":
        words = ["perf", "record", "-q", "-F", "499", "-g", "-N", "-k", "CLOCK_MONOTONIC", "-o", f"{folder}/p.data"]
        return words + (target if attach else ["--", *target])
    if tool == "perf sched record":
        words = ["perf", "sched", "record", "-q", "-k", "CLOCK_MONOTONIC", "-o", f"{folder}/q.data"]
        return words + ([] if attach else ["--", *target])
    if tool == "bpftrace":
        script = Path(folder, "offcpu.bt")
        script.write_text(Path(HERE, "offcpu.bt").read_text().replace("TARGET", target[1] if attach else "cpid"))
        return ["bpftrace", "-o", f"{folder}/b.txt"] + ([] if attach else ["-c", " ".join(target)]) + [str(script)]
    words = [hostprof, "record", "-o", f"{folder}/runs"]
    return words + (["--pid", target[1]] if attach else ["--", *target])


def pattern_ns(words):
    """How long the pattern says that it took."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("{") and '"run_ns"' in line:
            return json.loads(line)["run_ns"]
    raise SystemExit(f"{words}: {done.stdout}{done.stderr}")


def load_ns(hostprof, url, folder):
    """From the first request's arrival to the last one's end, as `hostprof load` logged them."""
    log = Path(folder, "load.jsonl")
    log.unlink(missing_ok=True)
    words = [hostprof, "load", "--url", url, "--concurrency", "4", "--requests", "32", "--input-tokens", "64"]
    words += ["--output-tokens", "32", "--json", "-o", str(log)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)["length_ns"]


def row(name, tool, ratios):
    low, high = min(ratios), max(ratios)
    print(f"{name:14} {tool:18} {statistics.median(ratios):7.2f}  {low:6.2f} to {high:6.2f}  {len(ratios)} pairs", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("hostprof")
    arguments.add_argument("--pairs", type=int, default=5)
    arguments.add_argument("--only")
    arguments.add_argument("--pid")
    arguments.add_argument("--url")
    given = arguments.parse_args()
    hostprof = os.path.abspath(given.hostprof)
    calibration = Path(hostprof).with_name("calibration")
    os.environ.update(LC_ALL="C")
    for pattern, operations in OPERATIONS.items():
        if given.only not in (None, pattern):
            continue
        words = [str(calibration), pattern, "--ops", str(operations)]
        for tool in TOOLS:
            ratios = []
            for _ in range(given.pairs):
                with tempfile.TemporaryDirectory() as folder:
                    alone = pattern_ns(words)
                    ratios.append(pattern_ns(tool_words(tool, hostprof, folder, words)) / alone)
            row(pattern, tool, ratios)
    if given.url and given.only in (None, "llama.cpp"):
        for tool in TOOLS:
            ratios = []
            for _ in range(given.pairs):
                with tempfile.TemporaryDirectory() as folder:
                    alone = load_ns(hostprof, given.url, folder)
                    words = tool_words(tool, hostprof, folder, ["-p", given.pid])
                    beside = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    time.sleep(3)
                    if beside.poll() is not None:
                        raise SystemExit(f"{words}: ended with {beside.returncode}")
                    ratios.append(load_ns(hostprof, given.url, folder) / alone)
                    beside.send_signal(signal.SIGINT)
                    beside.wait()
            row("llama.cpp", tool, ratios)


main()
