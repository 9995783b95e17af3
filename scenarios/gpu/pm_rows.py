"""Judges what pm_rows.sh left in a folder: rows of gpu_pm beside what is known. Exit status 3 where one disagrees."""

import collections
import csv
import json
import statistics
import sys
from datetime import datetime
from pathlib import Path

folder = Path(sys.argv[1])
failed = []


def judge(right, text):
    print(f"  {'agrees' if right else 'DISAGREES'}: {text}")
    if not right:
        failed.append(text)


def rows(name, table="gpu_pm"):
    found = list(folder.glob(f"{name}.csv/**/{table}.csv")) + list(folder.glob(f"{name}.csv/{table}*.csv"))
    with open(found[0]) as file:
        return list(csv.DictReader(file))


def gaps(name):
    """Stretches of intervals that are idle for more than half: start, end, idle nanoseconds."""
    found, idle = [], None
    for row in rows(name):
        start, length, active = int(row["ts_mono_ns"]), int(row["dur_ns"]), float(row["gr_active"])
        if active < 0.5:
            idle = idle or [start, 0, 0]
            idle[1] = start + length
            idle[2] += (1 - active) * length
        elif idle:
            found.append(idle)
            idle = None
    return found


for interval in (100, 500):
    name = f"gaps-{interval}us"
    truth, found = json.load(open(folder / f"{name}.json")), gaps(name)
    right, worst = 0, 0
    for planted in truth["gaps"]:
        near = [gap for gap in found if gap[0] < planted["end_mono_ns"] and gap[1] > planted["start_mono_ns"]]
        off = abs(sum(gap[2] for gap in near) - planted["gpu_ns"])
        worst = max(worst, off)
        right += len(near) == 1 and off <= interval * 1000
    judge(right == len(truth["gaps"]),
          f"{right} of {len(truth['gaps'])} planted gaps in {name}, each ± one interval (worst {worst / 1000:.0f} µs off)")

idle = [float(row["gr_active"]) for row in rows("idle")]
judge(statistics.mean(idle) < 0.01, f"an idle GPU: active {statistics.mean(idle):.2%} of {len(idle)} intervals")

phases = json.load(open(folder / "phases.json"))
offset = int(open(folder / "wall_minus_mono.txt").read())
pm = [(int(row["ts_mono_ns"]), row) for row in rows("load")]
gpm = [(int(row["ts_mono_ns"]), row) for row in rows("load", "gpu_sample")]


def mean(samples, begin, end, column):
    values = [float(row[column]) for at, row in samples if begin <= at < end and row[column] not in ("", None)]
    return (statistics.mean(values), len(values)) if values else (None, 0)


for phase in phases["phases"]:
    begin, end = phase["begin_mono_ns"] + 2_000_000_000, phase["end_mono_ns"] - 1_000_000_000
    if end <= begin:
        continue
    told = {column: mean(pm, begin, end, column) for column in
            ("gr_active", "sm_active", "tensor_active", "dram_read", "dram_write")}
    beside = {column: mean(gpm, begin, end, column) for column in ("gr_util", "sm_util", "tensor_util", "dram_util", "util_gpu")}
    text = ", ".join(f"{column} {value:.1%}" for column, (value, _) in told.items() if value is not None)
    other = ", ".join(f"{column} {value:.1%}" for column, (value, _) in beside.items() if value is not None)
    print(f"  {phase['name']}: {told['gr_active'][1]} intervals: {text}; {beside['gr_util'][1]} samples: {other}")
    for ours, theirs in (("gr_active", "gr_util"), ("sm_active", "sm_util"), ("tensor_active", "tensor_util")):
        if told[ours][0] is not None and beside[theirs][0] is not None:
            off = abs(told[ours][0] - beside[theirs][0])
            judge(off <= 0.03, f"{phase['name']}: {ours} and GPM's {theirs} are {off:.2%} apart")
    if phase["name"] == "products":
        judge((told["tensor_active"][0] or 0) > 0.85, f"{phase['name']}: tensor {told['tensor_active'][0]}")

took = collections.defaultdict(lambda: collections.defaultdict(dict))
for line in open(folder / "cost.txt"):
    round_, with_, work, *ns = line.split()
    if ns:
        took[work][with_][round_] = int(ns[0])
for work, by in took.items():
    for with_, against in (("default", "none"), ("gpu_pm", "none"), ("gpu_pm", "default")):
        ratios = sorted(by[with_][r] / by[against][r] for r in by[with_] if r in by[against])
        if ratios:
            print(f"  {work}: {with_} / {against}: median {statistics.median(ratios):.4f}, {ratios[0]:.4f} to {ratios[-1]:.4f}, n {len(ratios)}")
sys.exit(3 if failed else 0)
