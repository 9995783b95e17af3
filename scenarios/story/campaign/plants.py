"""The causes, planted: each a function of a run that plants, waits, and takes away again. It returns what it did."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import machine

#: No plant begins or ends nearer to the ends of the load.
MARGIN = 0.4


class Planting:
    """A run, as a plant sees it."""

    def __init__(self, lane, server, numbers, random, seconds):
        self.lane, self.server, self.numbers, self.random = lane, server, numbers, random
        self.begun, self.seconds = time.monotonic(), seconds

    def sleep_until(self, at):
        time.sleep(max(0.0, self.begun + at - time.monotonic()))

    def period(self):
        """When to plant, from and for how long."""
        length = self.numbers["seconds"]
        return self.random.uniform(MARGIN, max(MARGIN, self.seconds - length - MARGIN)), length

    def moments(self):
        """Times that are apart."""
        times, long = self.numbers["times"], self.numbers["ms"] / 1e3
        room = (self.seconds - 2 * MARGIN - times * long) / times
        return [MARGIN + at * (room + long) + self.random.uniform(0, room * 0.8) for at in range(times)]


def stopped_helper(run):
    name = run.random.choice(sorted(run.server.helpers))
    pid, moments = run.server.helpers[name], run.moments()
    for at in moments:
        run.sleep_until(at)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(run.numbers["ms"] / 1e3)
        finally:
            os.kill(pid, signal.SIGCONT)
    return {"thread": name, "at": moments}


def cpu_hog(run):
    name = run.random.choice(sorted(run.server.threads))
    at, length = run.period()

    def place():
        run.lane.group.join_hogs()
        os.sched_setaffinity(0, run.server.threads[name])

    # A cgroup's weight is spread over the CPUs it uses.
    run.lane.group.weigh(len(run.server.threads), run.numbers["weight"])
    run.sleep_until(at)
    loop = ["sh", "-c", "while :; do :; done"]
    hogs = [subprocess.Popen(loop, preexec_fn=place) for _ in range(run.numbers["count"])]
    try:
        time.sleep(length)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    return {"thread": name, "at": [at]}


def lock(run):
    keeper = run.random.choice(["metrics", "evictor", "logger"])
    how = run.random.choice(["sleep", "compute"])
    moments = run.moments()
    for at in moments:
        run.sleep_until(at)
        run.server.order(f"hold {keeper} {run.numbers['ms']} {how}")
    return {"thread": keeper, "how": how, "at": moments}


def cold_page_cache(run):
    how = run.random.choice(["file", "map"])
    at, length = run.period()
    run.server.order(f"read {how}")
    run.sleep_until(at)
    until, times = time.monotonic() + length, 0
    while time.monotonic() < until:
        machine.evict(run.lane.weights)
        times += 1
        time.sleep(min(run.numbers["every_ms"] / 1e3, max(0.0, until - time.monotonic())))
    return {"thread": "engine", "how": how, "at": [at], "times": times}


def cpu_quota(run):
    at, length = run.period()
    run.sleep_until(at)
    cpus = run.numbers["share"] * len(run.server.threads)
    run.lane.group.quota(cpus)
    try:
        time.sleep(length)
    finally:
        run.lane.group.quota(None)
    return {"cpus": cpus, "at": [at]}


def memory_reclaim(run):
    how = run.random.choice(["file", "map"])
    at, length = run.period()
    run.server.order(f"read {how}")
    run.sleep_until(at)
    used = run.lane.group.memory_used()
    most = used - int(run.numbers["share"] * os.path.getsize(run.lane.weights))
    run.lane.group.memory(most)
    try:
        time.sleep(length)
    finally:
        run.lane.group.memory(None)
    return {"how": how, "used_bytes": used, "most_bytes": most, "at": [at]}


def slow_disk(run):
    at, length = run.period()
    run.sleep_until(at)
    run.lane.group.reads(run.numbers["iops"])
    try:
        time.sleep(length)
    finally:
        run.lane.group.reads(None)
    return {"thread": "engine", "at": [at]}


def yield_spin(run):
    name = run.random.choice(sorted(run.server.threads))
    at, length = run.period()
    run.sleep_until(at)
    count, us = run.numbers["count"], run.numbers["us"]
    run.server.order(f"yield {count} {us} {int(length * 1e3)} {name}")
    run.sleep_until(at + length)
    return {"thread": name, "at": [at]}


def slow_client(run):
    at, length = run.period()
    run.sleep_until(at)
    port = int(run.server.url.rsplit(":", 1)[1])
    until = time.monotonic() + length
    read = []

    def take():
        with socket.socket() as client:
            # A small window, so that what is not read is soon the server's.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(1.0)
            client.connect(("127.0.0.1", port))
            prompt = [7] * 32
            body = json.dumps({"model": "planted", "prompt": prompt, "max_tokens": 2000, "stream": True})
            head = f"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n"
            client.sendall((head + body).encode())
            total = 0
            while time.monotonic() < until:
                try:
                    total += len(client.recv(1024))
                except TimeoutError:
                    continue
                time.sleep(1024 / run.numbers["bytes_per_second"])
            read.append(total)

    clients = [threading.Thread(target=take) for _ in range(run.numbers["count"])]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return {"at": [at], "read_bytes": read}


def gpu_gaps(run):
    how = run.random.choice(["sleep", "compute"])
    at, length = run.period()
    run.sleep_until(at)
    run.server.order(f"gap {run.numbers['us']} {int(length * 1e3)} {how}")
    run.sleep_until(at + length)
    return {"thread": "engine", "how": how, "at": [at]}


def none(_run):
    return {}


PLANTS = {
    plant.__name__: plant
    for plant in (
        stopped_helper,
        cpu_hog,
        lock,
        cold_page_cache,
        cpu_quota,
        memory_reclaim,
        slow_disk,
        yield_spin,
        slow_client,
        gpu_gaps,
        none,
    )
}
#: After these the weights are not in memory.
COOLING = {"cold_page_cache", "memory_reclaim"}
