"""Plants causes of slow requests and counts how often `hostprof report` names the planted one first.

python3 scenarios/story/campaign --bin target/release --out FOLDER    as root; README.md tells more
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import sys
import tarfile
import threading
import time
import tomllib

import judge
import machine
import runs
import servers

HERE = pathlib.Path(__file__).resolve().parent
#: Recordings of missed runs kept at most, and their size.
MOST_KEPT, MOST_KEPT_BYTES = 40, 14 << 20


def arguments():
    parser = argparse.ArgumentParser(prog="campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="folder of hostprof and planted-server")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="where results go")
    parser.add_argument("--work", type=pathlib.Path, help="folder on a disk for files and recordings [OUT/work]")
    parser.add_argument("--llama", help="command of a llama.cpp server, with {port} and {threads}")
    parser.add_argument("--gpu", action="store_true", help="plant gaps on the GPU too")
    parser.add_argument("--lanes", type=int, help="lanes [one for each 4 CPUs, 4 at most]")
    parser.add_argument("--only", default="", help="causes, by comma; none is one")
    parser.add_argument("--intensity", default="", help="intensities, by comma")
    parser.add_argument("--seeds", type=int, help="fewer seeds than the table has")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them [0]: others are runs of their own")
    parser.add_argument("--runs", type=int, help="no more runs than this, the first of the order")
    parser.add_argument("--seconds", type=float, help="of load in a run, in place of the table's")
    parser.add_argument("--budget", type=float, default=1e9, help="start no run after so many seconds")
    parser.add_argument("--table", type=pathlib.Path, default=HERE / "table.toml", help="what to plant")
    parser.add_argument("--keep", action="store_true", help="keep the recordings of all runs in the work folder")
    return parser.parse_args()


def specs(table, options):
    """Every run, in an order that mixes causes, intensities, targets and unplanted runs."""
    has = {"server"} | ({"llama"} if options.llama else set()) | ({"gpu"} if options.gpu else set())
    found = []

    def seeds(count):
        return range(options.first_seed, options.first_seed + count)

    for cause, of in table["cause"].items():
        targets = [target for target in of["targets"] if target in has]
        if not targets:
            continue
        for intensity in ("low", "middle", "high"):
            for seed in seeds(options.seeds or table["runs"]["seeds"]):
                run = {"id": f"{cause}-{intensity}-{seed}", "cause": cause, "intensity": intensity}
                found.append({**run, "seed": seed, "target": targets[seed % len(targets)]})
    targets = [target for target in ("server", "llama", "gpu") if target in has]
    for seed in seeds(table["runs"]["unplanted"]):
        run = {"id": f"none-{seed}", "cause": "none", "intensity": "none"}
        found.append({**run, "seed": seed, "target": targets[seed % len(targets)]})
    random.Random(table["runs"]["order_seed"]).shuffle(found)
    only, levels = set(filter(None, options.only.split(","))), set(filter(None, options.intensity.split(",")))
    found = [one for one in found if not only or one["cause"] in only]
    found = [one for one in found if not levels or one["intensity"] in levels | {"none"}]
    return found[: options.runs]


def make_lane(number, cpus, work, tools):
    folder = work / f"lane{number}"
    folder.mkdir(parents=True, exist_ok=True)
    lane = runs.Lane(number, servers.Cpus(cpus), machine.Group(number), folder, tools)
    machine.make_file(lane.weights, servers.WEIGHTS_BYTES)
    machine.make_file(lane.adapter, servers.WEIGHTS_BYTES)
    machine.evict(lane.weights)
    return lane


def try_machine(lanes, table, options):
    """What cannot be planted, and why."""
    lane = lanes[0]
    missing = {}

    def attempt(cause, trial):
        try:
            trial()
        except machine.Unplantable as err:
            missing[cause] = str(err)

    def slow_disk():
        for one in lanes:
            one.disk = machine.LoopDisk(one.adapter)
        machine.try_slow_disk(lane.group, lane.disk)
        for one in lanes:
            one.adapter = one.disk.path

    attempt("slow_disk", slow_disk)
    attempt("cold_page_cache", lambda: machine.try_evict(lane.weights))
    attempt("cpu_quota", lambda: lane.group.quota(None))
    attempt("cpu_hog", lambda: lane.group.weigh(1.0, 1.0))
    attempt("memory_reclaim", lambda: (lane.group.memory(None), lane.group.memory_used(), machine.try_memory()))
    if not options.gpu:
        missing["gpu_gaps"] = "no GPU was given (--gpu)"
    if not options.llama:
        missing["llama.cpp as target"] = "no llama.cpp was given (--llama)"
    return {what: why for what, why in missing.items() if what not in table["cause"] or chosen(what, options)}


def chosen(cause, options):
    return not options.only or cause in options.only.split(",")


class Schedule:
    """The runs that are left; hands a lane the next one that may run beside those under way."""

    def __init__(self, left, table):
        self.left, self.table = collections.deque(left), table
        self.under_way = []
        self.changed = threading.Condition()

    def conflicts(self, one, other):
        of = self.table["cause"].get(one["cause"], {})
        return other["cause"] in of.get("alone_with", []) or one["target"] == other["target"] == "gpu"

    def take(self):
        with self.changed:
            while self.left:
                for spec in self.left:
                    if not any(self.conflicts(spec, of) or self.conflicts(of, spec) for of in self.under_way):
                        self.left.remove(spec)
                        self.under_way.append(spec)
                        return spec
                self.changed.wait()
            return None

    def done(self, spec):
        with self.changed:
            self.under_way.remove(spec)
            self.changed.notify_all()


def main():
    options = arguments()
    table = tomllib.loads(options.table.read_text())
    table["runs"]["seconds"] = options.seconds or table["runs"]["seconds"]
    options.out.mkdir(parents=True, exist_ok=True)
    work = (options.work or options.out / "work").resolve()
    results = options.out / "results.jsonl"
    outcomes = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    tools = {
        "hostprof": str((options.bin / "hostprof").resolve()),
        "planted-server": str((options.bin / "planted-server").resolve()),
        "llama": options.llama,
        "sample_interval": table["runs"]["sample_interval"],
    }
    begun = time.monotonic()
    cpus = sorted(os.sched_getaffinity(0))
    count = options.lanes or max(1, min(4, len(cpus) // 4))
    each = len(cpus) // count
    lanes = []
    wrote = threading.Lock()
    try:
        for number in range(count):
            lanes.append(make_lane(number, cpus[number * each : (number + 1) * each], work, tools))
        # Its own threads take no time from servers.
        os.sched_setaffinity(0, set().union(*(lane.cpus.outside for lane in lanes)))
        missing = try_machine(lanes, table, options)
        for what, why in missing.items():
            print(f"not planted: {what}: {why}", flush=True)
        done = {one["id"] for one in outcomes if "error" not in one}
        outcomes = [one for one in outcomes if one["id"] in done]
        left = [one for one in specs(table, options) if one["id"] not in done and one["cause"] not in missing]
        schedule, total = Schedule(left, table), len(left)

        def keep(outcome):
            wrong = "error" in outcome or not judge.is_right(outcome, table)
            return options.keep or (wrong and sum(1 for _ in runs.kept_folders(lanes)) <= MOST_KEPT)

        def work_off(lane):
            while time.monotonic() - begun < options.budget and (spec := schedule.take()):
                outcome = runs.run(lane, spec, table, keep)
                schedule.done(spec)
                with wrote:
                    outcomes.append(outcome)
                    with open(results, "a") as file:
                        file.write(json.dumps(outcome) + "\n")
                    right = "error" not in outcome and judge.is_right(outcome, table)
                    said = outcome.get("error") or outcome.get("first") or "no offender"
                    print(
                        f"{time.monotonic() - begun:5.0f} s  {len(outcomes):3}/{total + len(done)}  lane {lane.number}  "
                        f"{'right' if right else 'WRONG'}  {spec['id']} ({spec['target']}): {said}",
                        flush=True,
                    )

        threads = [threading.Thread(target=work_off, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if schedule.left:
            missing["runs"] = f"{len(schedule.left)} were not begun within {options.budget:.0f} s"
        pack(lanes, options.out)
    finally:
        for lane in lanes:
            lane.end()
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    text, holds = judge.judge(outcomes, table, missing)
    (options.out / "summary.md").write_text(text)
    print(text)
    return 0 if holds else 3


def pack(lanes, out):
    """Recordings of runs that were missed, as far as there is room."""
    room = MOST_KEPT_BYTES
    with tarfile.open(out / "missed.tar.gz", "w:gz") as archive:
        for name, folder in runs.kept_folders(lanes):
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if size <= room:
                archive.add(folder, arcname=name)
                room -= size


if __name__ == "__main__":
    sys.exit(main())
