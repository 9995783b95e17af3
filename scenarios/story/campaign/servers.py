"""The servers that causes are planted in, each on a lane's CPUs and in its cgroup."""

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time
import urllib.request

WEIGHTS_BYTES = 64 << 20


class Cpus:
    """A lane's CPUs: one for the engine, one for a thread that computes with it, the server's others, and those of who
    watches and asks."""

    def __init__(self, cpus):
        if len(cpus) >= 4:
            self.engine, self.worker = {cpus[0]}, {cpus[1]}
            self.rest, self.outside = {cpus[2]}, set(cpus[3:])
        else:
            self.engine, self.worker = {cpus[-1]}, None
            self.rest = self.outside = set(cpus[:-1]) or set(cpus)

    @property
    def server(self):
        return self.engine | (self.worker or set()) | self.rest


class Server:
    """A server that runs. `threads`: those that a cause can be planted beside, with their CPUs."""

    def __init__(self, lane, log):
        self.lane, self.log = lane, open(log, "ab")

    def begin(self, command, **options):
        cpus, group = self.lane.cpus.server, self.lane.group

        def place():
            group.join()
            os.sched_setaffinity(0, cpus)

        self.process = subprocess.Popen(command, preexec_fn=place, stderr=self.log, **options)
        self.pid = self.process.pid

    def comms(self):
        """Its threads by name."""
        named = {}
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            named.setdefault((task / "comm").read_text().strip(), []).append(int(task.name))
        return named

    def alive(self):
        return self.process.poll() is None

    def end(self):
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()


class PlantedServer(Server):
    model = "planted"

    def __init__(self, lane, binary, log, gpu=False):
        super().__init__(lane, log)
        workers = 1 if lane.cpus.worker else 0
        command = [binary, "--workers", str(workers), "--weights", lane.weights, "--adapter", lane.adapter]
        command += ["--gpu"] if gpu else []
        self.begin(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        ready = json.loads(self.answer(30))
        self.url = f"http://127.0.0.1:{ready['port']}"
        self.helpers = ready["helpers"]
        named = self.comms()
        self.threads = {"engine": lane.cpus.engine}
        if workers and not gpu:
            self.threads["compute-1"] = lane.cpus.worker
        for name, tids in named.items():
            for tid in tids:
                os.sched_setaffinity(tid, self.threads.get(name, lane.cpus.rest))
        for pid in self.helpers.values():
            os.sched_setaffinity(pid, lane.cpus.rest)

    def answer(self, seconds):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise RuntimeError("planted-server says nothing")
        return self.process.stdout.readline() or "null"

    def order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def warm(self):
        """Has its weights in memory again."""
        self.order("read file")
        self.order("warm")
        self.answer(60)

    def end(self):
        for pid in self.helpers.values():
            try:
                os.kill(pid, signal.SIGCONT)
            except OSError:
                pass
        super().end()


class LlamaServer(Server):
    """llama.cpp: `command` has {port} and {threads}."""

    model = "llama"

    def __init__(self, lane, command, log):
        super().__init__(lane, log)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        threads = 2 if lane.cpus.worker else 1
        words = command.format(port=port, threads=threads)
        self.begin(["sh", "-c", f"exec {words}"], stdout=self.log)
        self.url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).read()
                break
            except OSError:
                if time.monotonic() > until or not self.alive():
                    raise RuntimeError(f"llama.cpp does not answer: {words}") from None
                time.sleep(0.1)
        self.threads = self.pin(threads)

    def pin(self, threads):
        """The threads that compute get a CPU each: llama.cpp's names do not tell which they are."""
        before = self.cpu_times()
        body = json.dumps({"prompt": "a " * 200, "max_tokens": 48, "ignore_eos": True}).encode()
        request = urllib.request.Request(self.url + "/v1/completions", body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=60).read()
        after = self.cpu_times()
        busiest = sorted(after, key=lambda tid: after[tid] - before.get(tid, 0), reverse=True)
        cpus = {"engine": self.lane.cpus.engine, "compute-1": self.lane.cpus.worker}
        places = list(cpus.items())[:threads]
        for tid in after:
            os.sched_setaffinity(tid, self.lane.cpus.rest)
        for tid, (_, where) in zip(busiest, places, strict=False):
            os.sched_setaffinity(tid, where)
        return dict(places)

    def cpu_times(self):
        times = {}
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            times[int(task.name)] = int(fields[11]) + int(fields[12])
        return times
