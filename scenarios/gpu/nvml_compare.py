"""Holds hostprof's gpu_sample against nvidia-smi dmon and against the load. Only the standard library.

usage: nvml_compare.py FOLDER     what nvml.sh left there; exit status 3 where something disagrees
"""

import csv
import datetime
import json
import os
import sys

folder = sys.argv[1]


def path(name):
    return os.path.join(folder, name)


def find_csv(table):
    for root, _, files in os.walk(path("csv")):
        for name in files:
            if name == f"{table}.csv" or (os.path.basename(root) == table and name.endswith(".csv")):
                yield os.path.join(root, name)


def read(table):
    rows = []
    for name in find_csv(table):
        with open(name, newline="") as file:
            rows += list(csv.DictReader(file))
    return sorted(rows, key=lambda row: int(row["ts_mono_ns"]))


def number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


phases = json.load(open(path("phases.json")))
wall_minus_mono = int(open(path("wall_minus_mono.txt")).read())
samples = [row for row in read("gpu_sample") if row["gpu"] == "0" and not row.get("gpu_instance")]
processes = read("gpu_process_sample")


def dmon():
    heads, rows = None, []
    for line in open(path("dmon.txt")):
        words = line.split()
        if line.startswith("#"):
            # The second line of a head has the units.
            if "gpu" in words or "#gpu" in words:
                heads = [word.lstrip("#") for word in words if word != "#"]
            continue
        if not heads or len(words) != len(heads):
            continue
        row = dict(zip(heads, words))
        if row.get("gpu") != "0":
            continue
        time = datetime.datetime.strptime(row["Date"] + row["Time"], "%Y%m%d%H:%M:%S")
        row["mono_ns"] = int(time.timestamp() * 1e9) - wall_minus_mono
        rows.append(row)
    return rows


smi = dmon()
missed = []


def judge(text, ok):
    print(f"{'ok  ' if ok else 'MISS'} {text}")
    if not ok:
        missed.append(text)


def within(rows, key, phase, edge_ns=2_000_000_000):
    begin, end = phase["begin_mono_ns"] + edge_ns, phase["end_mono_ns"] - edge_ns // 2
    return [row for row in rows if begin <= int(row[key]) <= end]


def mean(rows, column):
    values = [value for value in (number(row.get(column)) for row in rows) if value is not None]
    return sum(values) / len(values) if values else None


def show(value, scale=1.0, digits=1):
    return "null" if value is None else f"{value * scale:.{digits}f}"


print(f"{len(samples)} samples of GPU 0, {len(processes)} of processes, {len(smi)} lines of dmon")
judge(f"samples: {len(samples)}", len(samples) >= 80)
judge("every sample says that the target computes on the GPU",
      bool(samples) and sum(row["target_by"] == "process" for row in samples) >= len(samples) - 2)
own = [row for row in processes if row["tgid"] == str(phases["pid"])]
judge(f"the target's rows of gpu_process_sample: {len(own)}", len(own) >= 80 or not processes)
windows = [int(row["gpm_window_ns"]) for row in samples if row["gpm_window_ns"]]
judge(f"GPM's intervals: {len(windows)}, the shortest {min(windows, default=0) / 1e6:.1f} ms",
      len(windows) >= 80 and min(windows, default=0) >= 100_000_000)

for phase in phases["phases"]:
    rows = within(samples, "ts_mono_ns", phase)
    lines = within(smi, "mono_ns", phase)
    seconds = (phase["end_mono_ns"] - phase["begin_mono_ns"]) / 1e9
    print(f"\n{phase['name']}: {seconds:.1f} s, {phase['steps']} steps, {phase['amount'] / seconds / 1e12:.2f} T/s; "
          f"{len(rows)} samples, {len(lines)} lines of dmon")
    ours = {name: mean(rows, name) for name in
            ["util_gpu", "util_mem", "gr_util", "sm_util", "sm_occupancy", "tensor_util", "dram_util", "power_mw",
             "sm_clock_mhz", "mem_clock_mhz", "temperature_c", "mem_used_bytes", "read_ns",
             "gpm_pcie_rx_bytes_per_second", "gpm_pcie_tx_bytes_per_second"]}
    theirs = {name: mean(lines, name) for name in ["pwr", "gtemp", "sm", "mem", "mclk", "pclk", "fb", "rxpci", "txpci"]}
    for name, value in ours.items():
        print(f"    hostprof {name:32} {show(value, 1, 4)}")
    for name, value in theirs.items():
        print(f"    dmon     {name:32} {show(value)}")
    # The PCIe counters of the fields, beside GPM's rate.
    if len(rows) > 2:
        span = (int(rows[-1]["ts_mono_ns"]) - int(rows[0]["ts_mono_ns"])) / 1e9
        for column in ["pcie_rx_bytes", "pcie_tx_bytes", "energy_mj"]:
            first, last = number(rows[0].get(column)), number(rows[-1].get(column))
            if first is not None and last is not None:
                print(f"    hostprof {column} grew by {(last - first) / span:.0f} a second")

    def near(text, one, other, slack):
        judge(f"{phase['name']}: {text}: hostprof {show(one)}, dmon {show(other)}",
              one is not None and other is not None and abs(one - other) <= slack)

    scaled = {name: None if ours[name] is None else ours[name] * 100 for name in ["util_gpu", "util_mem"]}
    near("busy %", scaled["util_gpu"], theirs["sm"], 5)
    near("memory busy %", scaled["util_mem"], theirs["mem"], 5)
    power = None if ours["power_mw"] is None else ours["power_mw"] / 1000
    near("power W", power, theirs["pwr"], 0.05 * (theirs["pwr"] or 0) + 5)
    near("SM clock MHz", ours["sm_clock_mhz"], theirs["pclk"], 0.03 * (theirs["pclk"] or 0) + 10)
    near("memory clock MHz", ours["mem_clock_mhz"], theirs["mclk"], 10)
    near("temperature °C", ours["temperature_c"], theirs["gtemp"], 3)
    memory = None if ours["mem_used_bytes"] is None else ours["mem_used_bytes"] / (1 << 20)
    near("memory MiB", memory, theirs["fb"], 700)
    # GPM and NVML see the same.
    if phase["name"] == "products":
        judge(f"products: tensor cores busy {show(ours['tensor_util'], 100)} % (above 85)",
              (ours["tensor_util"] or 0) > 0.85)
        judge(f"products: GPM's busy {show(ours['gr_util'], 100)} % beside NVML's {show(ours['util_gpu'], 100)} %",
              abs((ours["gr_util"] or 0) - (ours["util_gpu"] or 1)) <= 0.05)
    if phase["name"] == "idle":
        for name in ["util_gpu", "gr_util", "sm_util", "tensor_util"]:
            judge(f"idle: {name} {show(ours[name], 100, 3)} % (0)", ours[name] is not None and ours[name] < 0.01)
    if phase["name"] == "copies":
        expected = phase["amount"] / seconds
        for name in ["gpm_pcie_rx_bytes_per_second", "gpm_pcie_tx_bytes_per_second"]:
            seen = ours[name] or 0
            judge(f"copies: {name} {seen / 1e9:.2f} GB/s, copied {expected / 1e9:.2f} GB/s each way",
                  0.8 * expected <= seen <= 1.4 * expected)

absent = json.load(open(path("config.json")))["samples"].get("absent", [])
print("\nnot offered, by config.json:")
for row in absent:
    print(f"    GPU {row['gpu']}: {', '.join(row['columns'])}: {row['reason']}")
nulls = {name for row in samples for name, value in row.items() if value == ""}
explained = {name for row in absent if row["gpu"] == 0 for name in row["columns"]}
always = {name for name in nulls if all(row[name] == "" for row in samples)}
unexplained = always - explained - {"gpu_instance", "compute_instance", "throttle_reasons"}
judge(f"every column that is null throughout has its reason (without: {sorted(unexplained)})", not unexplained)
print(f"\n{len(missed)} disagree")
sys.exit(3 if missed else 0)
