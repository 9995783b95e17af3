"""One run: a recording of a server under load, a cause planted at a random time, and what the report says first."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import traceback

import plants
import servers


class Lane:
    """CPUs, a cgroup, files and servers of its own: what is planted in one lane is not seen in another."""

    def __init__(self, number, cpus, group, folder, tools):
        self.number, self.cpus, self.group, self.folder, self.tools = number, cpus, group, folder, tools
        self.weights, self.adapter = str(folder / "weights"), str(folder / "disk.img")
        self.disk = None
        self.servers = {}

    def server(self, target):
        """The server of that kind, started where it does not run."""
        server = self.servers.get(target)
        if server and server.alive():
            return server
        log = self.folder / f"{target}.log"
        if target == "llama":
            server = servers.LlamaServer(self, self.tools["llama"], log)
        else:
            server = servers.PlantedServer(self, self.tools["planted-server"], log, gpu=target == "gpu")
        self.servers[target] = server
        return server

    def end(self):
        for server in self.servers.values():
            server.end()
        if self.disk:
            self.disk.close()
        self.group.remove()


def outside(lane):
    return lambda: os.sched_setaffinity(0, lane.cpus.outside)


def start_recording(lane, server, probes, folder):
    command = [lane.tools["hostprof"], "record", "-o", str(folder), "--pid", str(server.pid), "--probe", probes]
    command += ["--duration", "60s", "--sample-interval", lane.tools["sample_interval"]]
    with open(folder / "record.txt", "wb") as log:
        recorder = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=outside(lane)
        )
    until = time.monotonic() + 30
    while True:
        for config in folder.glob("run_*/config.json"):
            if '"started"' in config.read_text():
                return recorder, config.parent
        if recorder.poll() is not None or time.monotonic() > until:
            recorder.kill()
            raise RuntimeError("hostprof record: " + (folder / "record.txt").read_text()[-300:])
        time.sleep(0.02)


def start_load(lane, server, table, target, seed, folder):
    numbers, runs = table["targets"][target], table["runs"]
    command = [lane.tools["hostprof"], "load", "--url", server.url, "--model", server.model, "--prompt", "text"]
    command += ["--input-tokens", str(runs["input_tokens"]), "--output-tokens", str(runs["output_tokens"])]
    command += ["--concurrency", str(numbers["concurrency"]), "--duration", f"{runs['seconds']}s"]
    command += ["--seed", str(seed), "-o", str(folder / "load.jsonl")]
    log = open(folder / "load.txt", "wb")
    return subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=outside(lane))


def report_of(lane, run_folder):
    command = [lane.tools["hostprof"], "report", str(run_folder), "--json"]
    return json.loads(subprocess.check_output(command, preexec_fn=outside(lane), timeout=60))


def told(report, outcome):
    """What a report says, as far as it is judged."""
    story = report.get("story") or {}
    findings = story.get("findings") or []
    outcome["requests"] = story.get("requests", 0)
    outcome["found"] = [
        {
            "cause": one["cause"],
            "windows": one["windows"],
            "share": round(one["slow_ns"] / max(1, one["slow_length_ns"]), 3),
            "steady": one["steady"],
        }
        for one in findings
    ]
    outcome["first"] = findings[0]["cause"] if findings else None
    outcome["evidence"] = findings[0]["evidence"] if findings else []
    outcome["names_thread"] = any(outcome.get("thread", "\0") in line for line in outcome["evidence"])
    outcome["path_missing"] = story.get("path_missing")


def run(lane, spec, table, keep):
    """Runs one; the outcome, whatever happens. `keep` says whether the recording is kept."""
    cause, intensity, target = spec["cause"], spec["intensity"], spec["target"]
    dice = random.Random(f"{table['runs']['order_seed']}/{spec['id']}")
    outcome = {**spec, "lane": lane.number, "begun": time.time()}
    folder = lane.folder / spec["id"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    recorder = load = None
    try:
        server = lane.server(target)
        recorder, run_folder = start_recording(lane, server, table["targets"][target]["probes"], folder)
        load = start_load(lane, server, table, target, dice.randrange(1 << 30), folder)
        numbers = table["cause"][cause][intensity] if cause != "none" else {}
        planting = plants.Planting(lane, server, numbers, dice, table["runs"]["seconds"])
        outcome.update(plants.PLANTS[cause](planting))
        outcome["load_rc"] = load.wait(timeout=30)
        time.sleep(0.1)
        recorder.send_signal(signal.SIGINT)
        outcome["record_rc"] = recorder.wait(timeout=30)
        told(report_of(lane, run_folder), outcome)
        if cause in plants.COOLING:
            server.warm()
    except Exception as err:  # noqa: BLE001: a run that breaks is an outcome, and the next one goes on
        outcome["error"] = f"{type(err).__name__}: {err}"
        (folder / "error.txt").write_text(traceback.format_exc())
        broken = lane.servers.pop(target, None)
        if broken:
            broken.end()
    finally:
        for process in (load, recorder):
            if process and process.poll() is None:
                process.kill()
                process.wait()
    outcome["took_s"] = round(time.time() - outcome["begun"], 2)
    if not keep(outcome):
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def kept_folders(lanes):
    """The recordings that were kept, as (name, folder)."""
    for lane in lanes:
        for folder in sorted(pathlib.Path(lane.folder).glob("*-*")):
            if folder.is_dir():
                yield folder.name, folder
