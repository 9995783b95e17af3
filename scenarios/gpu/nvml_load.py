"""A load in phases that are known: idle, matrix products, idle, copies. Writes down when each began and ended.

usage: nvml_load.py PHASES_JSON READY_FILE GO_FILE
"""

import json
import os
import sys
import time

import torch

SECONDS = 10


def until(end, step):
    steps = 0
    while time.monotonic() < end:
        step()
        steps += 1
    return steps


def main():
    phases_path, ready, go = sys.argv[1:]
    device = torch.device("cuda:0")
    left = torch.randn(8192, 8192, dtype=torch.bfloat16, device=device)
    right = torch.randn(8192, 8192, dtype=torch.bfloat16, device=device)
    result = torch.empty_like(left)
    host = torch.empty(64 << 20, dtype=torch.uint8, pin_memory=True)
    there = torch.empty(64 << 20, dtype=torch.uint8, device=device)
    torch.matmul(left, right, out=result)
    torch.cuda.synchronize()

    def product():
        for _ in range(20):
            torch.matmul(left, right, out=result)
        torch.cuda.synchronize()

    def copy():
        there.copy_(host, non_blocking=True)
        host.copy_(there, non_blocking=True)
        torch.cuda.synchronize()

    open(ready, "w").close()
    while not os.path.exists(go):
        time.sleep(0.05)
    work = [
        ("idle", lambda: time.sleep(0.05), 0),
        ("products", product, 20 * 2 * 8192**3),
        ("idle", lambda: time.sleep(0.05), 0),
        ("copies", copy, 64 << 20),
    ]
    phases = []
    for name, step, amount in work:
        begin = time.monotonic_ns()
        steps = until(time.monotonic() + SECONDS, step)
        phases.append({"name": name, "begin_mono_ns": begin, "end_mono_ns": time.monotonic_ns(),
                       "steps": steps, "amount": steps * amount})
    json.dump({"pid": os.getpid(), "gpu": torch.cuda.get_device_name(0), "phases": phases},
              open(phases_path, "w"), indent=1)
    # The recording outlives the phases; it is to see the process to its own end.
    time.sleep(6)


main()
