#!/usr/bin/env python3
"""What recording costs two CUDA programs: alternating pairs, as `cargo xtask bench` takes them.

    cost.py BIN OUT [--pairs N] [--kinds default,cuda] [--workloads launches]
                                     BIN: a folder with hostprof and calibration; OUT: a folder for cost.json and cost.txt

`launches`: `calibration launch-heavy`, started anew by the recorder each time, timed by itself. `generation`: a small random
transformers model in this process, prefill of 512 tokens and 256 decode steps, to which the recorder attaches and from which it
detaches again. Both halves rest for as long and generate once before what is timed: a GPU that has rested is slow. A half is told
by the mean and by the median of its steps, each timed: the median leaves out what else the machine did for a moment, and what
the recorder does now and then. Of each kind of recording a round has a pair, the run with it and the run without it just before
or after; each is held against the mean of all runs of its round that nothing recorded. Told are the median of the ratios, the
exact 95 % interval of the order statistics (7 values: least and greatest), and the smallest effect that so many values of this
spread show. A pass of its own tells the direct bound: the kernel's run time of hostprof's programs over the wall time. Needs:
root, a GPU, torch and transformers for `generation`.
"""

import argparse
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path

KINDS = {"again": None, "default": "auto", "cuda": "auto,cuda", "gpu_pm": "auto,gpu_pm"}
# The recorder is attached by then.
REST_S = 1.0
STATS = Path("/proc/sys/kernel/bpf_stats_enabled")

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("bin", type=Path)
arguments.add_argument("out", type=Path)
arguments.add_argument("--pairs", type=int, default=7)
arguments.add_argument("--steps", type=int, default=256)
arguments.add_argument("--times", type=int, default=2, help="generations that are timed in a half")
arguments.add_argument("--seconds", type=float, default=math.inf, help="begin no pair after so long")
arguments.add_argument("--ops", type=int, default=600_000)
arguments.add_argument("--kinds", default=",".join(KINDS))
arguments.add_argument("--workloads", default="launches,generation")
arguments = arguments.parse_args()
kinds = {kind: KINDS[kind] for kind in arguments.kinds.split(",")}
hostprof, calibration = arguments.bin / "hostprof", arguments.bin / "calibration"
arguments.out.mkdir(parents=True, exist_ok=True)
scratch = arguments.out / "scratch"


def run_time_ns(pid):
    """Of the programs that the process holds."""
    total = {}
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = file.read_text()
        except OSError:
            continue
        # A link's file has the program's number as well, and not how long it ran.
        number = re.search(r"^prog_id:\s*(\d+)", text, re.M)
        ran = re.search(r"^run_time_ns:\s*(\d+)", text, re.M)
        if number and ran:
            total[number[1]] = int(ran[1])
    return sum(total.values())


def launches(probes):
    """ns a launch, by the program's own account: the mean."""
    shutil.rmtree(scratch, ignore_errors=True)
    truth = arguments.out / "truth.json"
    program = [calibration, "launch-heavy", "--backend", "cuda", "--ops", str(arguments.ops), "--json", truth]
    tracer = [hostprof, "record", "-o", scratch, "--probe", probes, "--"] if probes else []
    subprocess.run([*tracer, *program], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told = json.loads(truth.read_text())
    if probes:
        subprocess.run([hostprof, "check", scratch / "run_001"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (told["run_ns"] / told["operations"],)


def generation():
    """A function that takes probes and yields ns a token: the mean, and the median."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, StoppingCriteriaList

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=8192, hidden_size=512, intermediate_size=1024, num_hidden_layers=8,
                         num_attention_heads=8, num_key_value_heads=8)
    model = LlamaForCausalLM(config).to("cuda", torch.bfloat16).eval()
    prompt = torch.randint(0, config.vocab_size, (1, 512), device="cuda")

    steps = []

    def step(ids, _scores, **_):
        steps.append(time.monotonic_ns())
        return torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)

    def generate(times=1):
        steps.clear()
        begun = time.monotonic_ns()
        for _ in range(times):
            with torch.no_grad():
                model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=arguments.steps,
                               min_new_tokens=arguments.steps, do_sample=False, pad_token_id=0, eos_token_id=None,
                               stopping_criteria=StoppingCriteriaList([step]))
        torch.cuda.synchronize()
        mean = (time.monotonic_ns() - begun) / arguments.steps / times
        return mean, statistics.median(later - earlier for earlier, later in zip(steps, steps[1:]))

    for _ in range(3):
        generate()

    def measured(probes, bound=None):
        if not probes:
            time.sleep(REST_S)
            generate()
            return generate(arguments.times)
        shutil.rmtree(scratch, ignore_errors=True)
        recorder = subprocess.Popen([hostprof, "record", "-o", scratch, "--probe", probes, "--pid", str(os.getpid())],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        config = scratch / "run_001" / "config.json"
        while not config.exists():
            time.sleep(0.01)
        time.sleep(REST_S)
        generate()
        before, begun = run_time_ns(recorder.pid), time.monotonic_ns()
        ns = generate(arguments.times)
        if bound is not None:
            bound.append((run_time_ns(recorder.pid) - before) / (time.monotonic_ns() - begun) * 100)
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
        subprocess.run([hostprof, "check", scratch / "run_001"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return ns

    return measured


def summary(values):
    """Median, the interval of the order statistics, and the effect that is found at 5 % with a power of 80 %."""
    values = sorted(values)
    median = statistics.median(values)
    spread = 1.4826 * statistics.median(abs(value - median) for value in values)
    # As many as may be left out at each end, that the interval holds the median in 95 % of all cases.
    drop, outside = 0, 2 / 2 ** len(values)
    while outside + 2 * math.comb(len(values), drop + 1) / 2 ** len(values) <= 0.05:
        drop += 1
        outside += 2 * math.comb(len(values), drop) / 2 ** len(values)
    return median, values[drop], values[-1 - drop], 2.8 * 1.2533 * spread / len(values) ** 0.5


results = {}
lines = []
begun = time.monotonic()


def say(line):
    lines.append(line)
    print(line, flush=True)


def measure(name, workload):
    rounds = []
    for number in range(arguments.pairs):
        if time.monotonic() > begun + arguments.seconds:
            break
        rounds.append([])
        for kind, probes in kinds.items():
            try:
                if number % 2:
                    traced = workload(probes)
                    alone = workload(None)
                else:
                    alone = workload(None)
                    traced = workload(probes)
            except subprocess.CalledProcessError as error:
                say(f"{name}, {kind}: pair {number + 1} does not count: {error}")
                continue
            rounds[-1] += [(kind, traced), ("alone", alone)]
    for kind in kinds:
        # Each half with it, and all of its round that nothing recorded.
        taken = [(half, [other for name, other in halves if name != kind and not KINDS.get(name)])
                 for halves in rounds for name, half in halves if name == kind]
        for place, of in enumerate(("mean", "median")[: len(taken[0][0])] if taken else ()):
            halves = [(half[place], statistics.mean(other[place] for other in alone)) for half, alone in taken]
            median, low, high, effect = summary([traced / alone for traced, alone in halves])
            added = statistics.median(traced - alone for traced, alone in halves)
            say(f"{name}, {kind}, {of}: {median:.4f} of alone, 95 % interval {low:.4f} to {high:.4f}, n {len(halves)}, "
                f"smallest effect {effect:.4f}; {added:+.0f} ns an operation")
    results[name] = rounds


if "launches" in arguments.workloads:
    measure("launches", launches)
try:
    generate = generation() if "generation" in arguments.workloads else None
except ImportError as error:
    say(f"generation: not run: {error}")
    generate = None
if generate:
    measure("generation", generate)
    was = STATS.read_text()
    STATS.write_text("1")
    for kind, probes in kinds.items():
        if probes:
            bound = []
            for _ in range(3):
                generate(probes, bound)
            say(f"generation, {kind}: the programs run for {statistics.median(bound):.3f} % of one CPU's wall time (direct bound)")
    STATS.write_text(was)
shutil.rmtree(scratch, ignore_errors=True)
(arguments.out / "truth.json").unlink(missing_ok=True)
(arguments.out / "cost.json").write_text(json.dumps(results, indent=1))
(arguments.out / "cost.txt").write_text("\n".join(lines) + "\n")
