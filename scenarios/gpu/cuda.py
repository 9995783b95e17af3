"""What a CUDA program counted beside what hostprof did, and what recording it cost.

    cuda.py agree FOLDER     compares each NAME.truth.json with NAME.report.json; exit status 3 where one disagrees
    cuda.py cost FOLDER      sets cost-NAME-KIND-PAIR.json, by kind, beside those of the program alone
"""

import json
import statistics
import sys
from pathlib import Path


def load(path):
    with open(path) as file:
        return json.load(file)


def agree(folder):
    failed = False

    def must(what, holds):
        nonlocal failed
        failed |= not holds
        print(f"{'ok   ' if holds else 'FAILS'} {what}")

    for truth_file in sorted(folder.glob("*.truth.json")):
        name = truth_file.name.removesuffix(".truth.json")
        report_file = folder / f"{name}.report.json"
        if not report_file.exists():
            continue
        truth, report = load(truth_file), load(report_file)
        counts, cuda = truth["cuda"]["counts"], truth["cuda"]
        calls = {call["name"]: call for call in report["cuda_calls"]}
        seen = lambda call: calls.get(call, {}).get("calls", 0)
        # Launches into a graph that is captured are launches too, and run later.
        captured = (cuda.get("graph_kernels") or 0) * len(truth["threads"])
        made = counts["launches"] + captured
        must(f"{name}: {seen('cuLaunchKernel')} launches counted, {made} made", seen("cuLaunchKernel") == made)
        if counts["graph_launches"]:
            made = counts["graph_launches"]
            must(f"{name}: {seen('cuGraphLaunch')} graph launches counted, {made} made", seen("cuGraphLaunch") == made)
        waits = [call for call in report["cuda_calls"] if call["kind"] == "sync"]
        number = sum(call["calls"] for call in waits)
        # The program waits once more, after its clock has stopped, for the count that the GPU kept.
        made = counts["syncs"] + 1
        must(f"{name}: {number} waits counted, {made} made", number == made)
        if counts["allocations"]:
            allocated = seen("cuMemAlloc")
            print(f"      {name}: {allocated} cuMemAlloc, {counts['allocations']} of them the pattern's")
        states = {}
        for thread in report["threads"]:
            for state, ns in thread["states_ns"].items():
                states[state] = states.get(state, 0) + (ns or 0)
        wall = report["totals"]["wall_ns"]
        total = sum(call["total_ns"] or 0 for call in waits)
        spun = sum(call["gpu_sync_ns"] or 0 for call in waits)
        own = max(counts["sync_ns"], 1)
        must(
            f"{name}: the ledger's gpu_sync {states.get('gpu_sync', 0)} ns is that of the waits, {spun} ns",
            states.get("gpu_sync", 0) == spun,
        )
        must(f"{name}: states sum to the wall clock", sum(states.values()) + report["totals"]["unattributed_ns"] == wall)
        text = (
            f"{name}: waits took {total / 1e6:.3f} ms by their rows ({spun / 1e6:.3f} ms of it gpu_sync), "
            f"{own / 1e6:.3f} ms by the program's clock, {total / own:.4f}; "
            f"a wait is {(own - total) / max(counts['syncs'], 1):.0f} ns longer by that, which sees the probes"
        )
        if name == "long-waits":
            must(text + ": within 2 %", abs(total / own - 1) <= 0.02)
        else:
            print("      " + text)
        must(f"{name}: nothing lost", report["loss"]["dropped"] == 0)
    return 3 if failed else 0


def cost(folder):
    for pattern in ["launches", "waits"]:
        runs = {}
        for kind in ["off", "default", "cuda", "cuda_launch"]:
            files = sorted(folder.glob(f"cost-{pattern}-{kind}-*.json"))
            runs[kind] = [load(file) for file in files]
        alone = runs["off"]
        for kind, recorded in runs.items():
            pairs = list(zip(recorded, alone))
            if not pairs:
                continue
            wall = [truth["run_ns"] / truth["operations"] for truth in recorded]
            ratio = statistics.median(one["run_ns"] / other["run_ns"] for one, other in pairs)
            used = lambda truth: sum(thread["usage"]["cpu_ns"] for thread in truth["threads"])
            each = lambda truth: used(truth) / truth["operations"]
            more = statistics.median(each(one) - each(other) for one, other in pairs)
            print(
                f"cost {pattern}, {kind}: {statistics.median(wall):.0f} ns an operation ({min(wall):.0f} to {max(wall):.0f}), "
                f"{ratio:.3f} of alone; {more:+.0f} ns of CPU an operation (medians of {len(pairs)} pairs)"
            )
    return 0


if __name__ == "__main__":
    sys.exit({"agree": agree, "cost": cost}[sys.argv[1]](Path(sys.argv[2])))
