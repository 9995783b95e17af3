#!/usr/bin/env python3
"""Compares what `hostprof replay` shows of random windows with DuckDB queries over the run's Parquet.

    verify.py RUN [--hostprof hostprof] [--windows 20] [--seed 1]

Every number of the tabs overview, threads, calls, memory, GPU and health is computed anew, by SQL that shares nothing with
hostprof but the files. Times and counts must be equal; percentiles within the four thousandths that buckets cost, and
time off the CPU within traced calls to a nanosecond for each tenth of a second. Needs the Python package duckdb.
"""
import argparse, json, math, random, subprocess, sys
from pathlib import Path

import duckdb

RUNNABLE = ("throttled", "preempted", "yield")


class Run:
    def __init__(self, folder):
        self.db = duckdb.connect()
        self.config = json.loads((folder / "config.json").read_text())
        for table in sorted(path for path in folder.iterdir() if path.is_dir()):
            if list(table.glob("part-*.parquet")):
                self.db.execute(f"create view {table.name} as select * from '{table}/part-*.parquet'")
        self.tables = {name for (name,) in self.db.execute("select view_name from duckdb_views()").fetchall()}
        # A thread is a tid and a time.
        self.db.execute("""
            create table life as select row_number() over (order by begin_mono_ns, tid) as id, tid, tgid, comm,
                coalesce(role, '') as role, begin_mono_ns as b, end_mono_ns as e, exit_mono_ns as x,
                lost_switches from thread;
            create table episode as
                select o.*, o.ts_mono_ns as s, o.ts_mono_ns + o.blocked_ns as w,
                    o.ts_mono_ns + o.blocked_ns + o.runqueue_ns as f,
                    (select max_by(l.id, l.b) from life l where l.tid = o.tid and l.b <= o.ts_mono_ns) as id
                from off_cpu o;
            create table part as
                select id, state, s as p, w as q, syscall_nr, arg0, true as blocked from episode
                    where state not in ('throttled', 'preempted', 'yield', 'runqueue') and blocked_ns > 0
                union all
                select id, case when state in ('throttled', 'preempted', 'yield') then state else 'runqueue' end,
                    w, f, null, null, false from episode where runqueue_ns > 0;
            create table between as
                select id, lag(f) over (partition by id order by s) as last, s from episode;
        """)
        contradict = self.db.execute("select count(*) from between where s < last").fetchone()[0]
        if contradict:
            sys.exit(f"{folder}: {contradict} rows of off_cpu contradict one another: what remains is not told by SQL alone")
        # Time between the rows of threads that lack some, in which records were lost.
        lost = "select start_mono_ns as a, end_mono_ns as z from loss where dropped > 0" if "loss" in self.tables \
            else "select 0::ubigint as a, 0::ubigint as z where false"
        self.db.execute(f"""
            create table unattributed as
                with gap as (
                    select id, coalesce(last, b) as p, s as q from between join life using (id) where lost_switches > 0
                    union all
                    select id, coalesce(max(f), any_value(b)), any_value(e) from life left join episode using (id)
                        where lost_switches > 0 group by id)
                select id, p, q from gap where p < q and exists (select 1 from ({lost}) l where l.z >= p and l.a <= q);
        """)

    def rows(self, sql, **values):
        cursor = self.db.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]


class Comparison:
    def __init__(self):
        self.numbers, self.differences = 0, []

    def same(self, where, shown, expected, tolerance=0.0, absolute=0.0):
        self.numbers += 1
        if isinstance(shown, dict) or isinstance(expected, dict):
            for key in sorted(set(shown or {}) | set(expected or {})):
                self.same(f"{where}.{key}", (shown or {}).get(key, 0), (expected or {}).get(key, 0), tolerance, absolute)
            return
        if shown == expected:
            return
        if isinstance(shown, (int, float)) and isinstance(expected, (int, float)):
            if abs(shown - expected) <= max(absolute, tolerance * abs(expected)):
                return
        self.differences.append(f"{where}: shown {shown!r}, expected {expected!r}")


def latency(lengths):
    lengths = sorted(lengths)
    if not lengths:
        return {"count": 0, "p50_ns": None, "p95_ns": None, "p99_ns": None, "max_ns": None}
    at = lambda percent: lengths[math.ceil(len(lengths) * percent / 100) - 1]
    return {"count": len(lengths), "p50_ns": at(50), "p95_ns": at(95), "p99_ns": at(99), "max_ns": lengths[-1]}


def same_latency(compare, where, shown, lengths):
    expected = latency(lengths)
    compare.same(f"{where}.count", shown["count"], expected["count"])
    compare.same(f"{where}.max", shown["max_ns"], expected["max_ns"])
    for percentile in ("p50_ns", "p95_ns", "p99_ns"):
        compare.same(f"{where}.{percentile}", shown[percentile], expected[percentile], tolerance=1 / 256)


def same_share(compare, where, shown, rows):
    for name in ("wall_ns", "switches", "involuntary"):
        compare.same(f"{where}.{name}", shown[name], sum(row[name] for row in rows))
    compare.same(f"{where}.threads", shown["threads"], len(rows))
    times = {}
    for row in rows:
        for state, ns in row["times"].items():
            times[state] = times.get(state, 0) + ns
    compare.same(f"{where}.times", shown["times"], times)
    same_latency(compare, f"{where}.runqueue", shown["runqueue"], [ns for row in rows for ns in row["waits"]])
    for name in ("minor_faults", "major_faults"):
        compare.same(f"{where}.{name}", shown[name], sum(row[name] for row in rows), tolerance=1e-9, absolute=1e-6)


def threads(run, a, z):
    """Each thread of the window with its numbers, by id."""
    found = {}
    for row in run.rows("""select * from life where b < $z and e > $a""", a=a, z=z):
        wall = min(row["e"], z) - max(row["b"], a)
        found[row["id"]] = dict(row, wall_ns=wall, times={}, switches=0, involuntary=0, waits=[], minor_faults=0.0,
                                major_faults=0.0, calls={}, wakers={}, now=None, cpu=None)
    for row in run.rows("""select id, state, sum(least(q, $z) - greatest(p, $a))::bigint as ns from part
                           where p < $z and q > $a group by all""", a=a, z=z):
        found[row["id"]]["times"][row["state"]] = row["ns"]
    for row in run.rows("""select id, sum(least(q, $z) - greatest(p, $a))::bigint as ns from unattributed
                           where p < $z and q > $a group by all""", a=a, z=z):
        found[row["id"]]["times"]["unattributed"] = row["ns"]
    for thread in found.values():
        thread["times"]["on_cpu"] = max(thread["wall_ns"] - sum(thread["times"].values()), 0)
    for row in run.rows("""select id, count(*) filter (state <> 'runqueue') as switches,
                count(*) filter (state <> 'runqueue' and not voluntary) as involuntary,
                list(runqueue_ns) filter (state not in ('throttled', 'preempted', 'yield', 'exit')) as waits
            from episode where not open_end and f >= $a and f < $z group by id""", a=a, z=z):
        if row["id"] in found:
            found[row["id"]].update(switches=row["switches"], involuntary=row["involuntary"], waits=row["waits"] or [])
    for row in run.rows("""select id, syscall_nr as nr, sum(least(q, $z) - greatest(p, $a))::bigint as ns from part
            where blocked and syscall_nr is not null and p < $z and q > $a group by all""", a=a, z=z):
        found[row["id"]]["calls"][row["nr"]] = row["ns"]
    for row in run.rows("""select id, case wake_source when 'irq' then -1 else waker_tid end as waker, count(*) as n
            from episode where not open_end and f >= $a and f < $z and wake_source in ('irq', 'task')
            group by all""", a=a, z=z):
        if row["id"] in found:
            found[row["id"]]["wakers"][row["waker"]] = row["n"]
    for row in run.rows("select id, state from part where p < $z and q >= $z", z=z):
        if row["id"] in found:
            found[row["id"]]["now"] = row["state"]
    for row in run.rows("""select id, max_by(cpu, row(t, place)) as cpu from (
                select id, s as t, 1 as place, cpu_out as cpu from episode where cpu_out is not null
                union all select id, f, 0, cpu_in from episode where cpu_in is not null and not open_end)
            where t >= $a and t < $z group by id""", a=a, z=z):
        if row["id"] in found:
            found[row["id"]]["cpu"] = row["cpu"]
    if "page_fault" in run.tables:
        for row in run.rows("""select (select max_by(l.id, l.b) from life l where l.tid = p.tid and l.b <= p.ts_mono_ns)
                    as id, ts_mono_ns as s, dur_ns as d, minor, major from page_fault p
                where ts_mono_ns < $z and ts_mono_ns + dur_ns >= $a""", a=a, z=z):
            part = ((min(row["s"] + row["d"], z) - max(row["s"], a)) / row["d"]) if row["d"] else float(row["s"] >= a)
            if row["id"] in found and part > 0:
                found[row["id"]]["minor_faults"] += row["minor"] * part
                found[row["id"]]["major_faults"] += row["major"] * part
    for thread in found.values():
        if thread["x"] is not None and thread["e"] < z:
            thread["now"] = "exit"
    return found


def overview(run, picture, found, compare, a, z):
    same_share(compare, "all", picture["all"], found.values())
    for key, shown, name in (("role", picture["roles"], "name"), ("tgid", picture["processes"], "tgid")):
        groups = {}
        for thread in found.values():
            groups.setdefault(thread[key], []).append(thread)
        compare.same(f"{key}s", sorted(str(entry[name]) for entry in shown), sorted(map(str, groups)))
        for entry in shown:
            same_share(compare, f"{key} {entry[name]}", entry["share"], groups.get(entry[name], []))
    for role in picture["roles"]:
        of = [thread["id"] for thread in found.values() if thread["role"] == role["name"]]
        for piece in role["slices"]:
            a1, z1 = piece["from"], piece["to"]
            off = {row["state"]: row["ns"] for row in run.rows(
                """select state, sum(least(q, $z) - greatest(p, $a))::bigint as ns from part
                   where p < $z and q > $a and list_contains($of, id) group by all""", a=a1, z=z1, of=of)}
            off["unattributed"] = run.rows("""select coalesce(sum(least(q, $z) - greatest(p, $a)), 0)::bigint as ns
                   from unattributed where p < $z and q > $a and list_contains($of, id)""", a=a1, z=z1, of=of)[0]["ns"]
            wall = sum(max(min(found[i]["e"], z1) - max(found[i]["b"], a1), 0) for i in of)
            off["on_cpu"] = max(wall - sum(off.values()), 0)
            compare.same(f"role {role['name']} from {a1}", piece["times"], off)
    working = [t for t in found.values()
               if sum(t["times"].get(s, 0) for s in ("on_cpu", "runqueue", "preempted", "throttled")) >= 0.01 * max(sum(t["times"].values()), 1)]
    off = {}
    for thread in working or found.values():
        for state, ns in thread["times"].items():
            off[state] = off.get(state, 0) + ns
    waited = {state: ns for state, ns in off.items() if state not in ("on_cpu", "unattributed") and ns > 0}
    mostly = picture["mostly"]
    if waited and mostly:
        compare.same("mostly", waited.get(mostly["state"]), max(waited.values()))
        compare.same("mostly.ratio", mostly["ratio"], max(waited.values()) / sum(off.values()), tolerance=1e-9)
    else:
        compare.same("mostly", mostly is None, not waited)
    host(run, picture["pressure"], compare, a, z)
    gpus(run, picture["gpus"], compare, a, z)


def gpus(run, shown, compare, a, z):
    rows = run.rows("select * from gpu_sample where ts_mono_ns < $z order by ts_mono_ns", z=z) if "gpu_sample" in run.tables else []
    last, history = {}, {}
    for row in rows:
        key = (row["gpu"], row["gpu_instance"], row["compute_instance"])
        last[key] = row
        busy = row["util_gpu"] if row["util_gpu"] is not None else row["gr_util"]
        if row["ts_mono_ns"] >= a and busy is not None:
            history.setdefault(key, []).append(busy)
    order = sorted(last, key=lambda key: [-1 if part is None else part for part in key])
    compare.same("gpus", [gpu["index"] for gpu in shown], [gpu for gpu, *_ in order])
    for gpu, key in zip(shown, order):
        row, where = last[key], f"gpu {key}"
        for name, column in (("memory_used_bytes", "mem_used_bytes"), ("memory_total_bytes", "mem_total_bytes"),
                             ("power_mw", "power_mw"), ("power_limit_mw", "power_limit_mw"), ("sm_clock_mhz", "sm_clock_mhz"),
                             ("mem_clock_mhz", "mem_clock_mhz"), ("temperature_c", "temperature_c"), ("sm_ratio", "sm_util"),
                             ("tensor_ratio", "tensor_util"), ("dram_ratio", "dram_util"), ("throttle_reasons", "throttle_reasons")):
            compare.same(f"{where}.{name}", gpu[name], row[column])
        compare.same(f"{where}.util", gpu["util_ratio"], row["util_gpu"] if row["util_gpu"] is not None else row["gr_util"])
        compare.same(f"{where}.history", gpu["util_history"], history.get(key, []))


def host(run, shown, compare, a, z):
    rows = run.rows("select * from host_sample order by ts_mono_ns") if "host_sample" in run.tables else []
    before = [row for row in rows if row["ts_mono_ns"] < z]
    if len(before) < 1 or (len(before) == 1 and True):
        compare.same("pressure", shown, None)
        return
    last = before[-1]
    first = next((row for row in reversed(before) if row["ts_mono_ns"] <= a), rows[0])
    if first["ts_mono_ns"] >= last["ts_mono_ns"]:
        first = before[-2]
    busy = lambda row: sum(row[name] for name in ("user_ns", "nice_ns", "system_ns", "irq_ns", "softirq_ns", "steal_ns"))
    every = busy(last) - busy(first) + sum(last[n] - first[n] for n in ("idle_ns", "iowait_ns"))
    elapsed = last["ts_mono_ns"] - first["ts_mono_ns"]
    compare.same("pressure.busy", shown["busy_ratio"], (busy(last) - busy(first)) / every, tolerance=1e-9)
    compare.same("pressure.steal", shown["steal_ratio"], (last["steal_ns"] - first["steal_ns"]) / every, tolerance=1e-9)
    compare.same("pressure.runnable", shown["runnable"], last["runnable"])
    for name in ("cpu_some", "memory_some", "memory_full", "io_some", "io_full"):
        both = last[f"{name}_ns"] is not None and first[f"{name}_ns"] is not None
        expected = (last[f"{name}_ns"] - first[f"{name}_ns"]) / elapsed if both else None
        compare.same(f"pressure.{name}", shown[f"{name}_ratio"], expected, tolerance=1e-9)


def each_thread(run, picture, found, compare, a, z):
    compare.same("threads", sorted((t["tid"], t["share"]["wall_ns"]) for t in picture["threads"]),
                 sorted((t["tid"], t["wall_ns"]) for t in found.values()))
    by = {(t["tid"], t["wall_ns"]): t for t in found.values()}
    for shown in picture["threads"]:
        thread = by.get((shown["tid"], shown["share"]["wall_ns"]))
        if thread is None:
            continue
        where = f"thread {shown['tid']}"
        same_share(compare, where, shown["share"], [thread])
        for name in ("comm", "role", "now", "cpu"):
            compare.same(f"{where}.{name}", shown[name], thread[name])
        call = shown["top_call"]
        compare.same(f"{where}.top_call.ns", call and call["total_ns"], max(thread["calls"].values(), default=None))
        if call and list(thread["calls"].values()).count(call["total_ns"]) == 1:
            nr = next(nr for nr, ns in thread["calls"].items() if ns == call["total_ns"])
            lengths = [row["n"] for row in run.rows(
                """select blocked_ns as n from episode where id = $id and syscall_nr = $nr and blocked_ns > 0
                   and not open_end and f >= $a and f < $z""", id=thread["id"], nr=nr, a=a, z=z)]
            same_latency(compare, f"{where}.top_call", call["latency"], lengths)
        waker = shown["top_waker"]
        compare.same(f"{where}.wakeups", waker and waker["wakeups"], max(thread["wakers"].values(), default=None))
        if waker:
            key = -1 if waker["comm"] == "interrupt" else waker["tid"]
            compare.same(f"{where}.waker", waker["wakeups"], thread["wakers"].get(key))


def traced(run, a, z):
    """Traced calls by name and device."""
    sources = []
    if "syscall" in run.tables:
        sources.append("""select name, null as device, ts_mono_ns as s, dur_ns as d, off_cpu_ns as o, ret,
            ret between -4095 and -1 as failed, arg1, syscall_nr as nr from syscall""")
    if "gpu_ioctl" in run.tables:
        sources.append("""select case when name is null then '0x' || format('{:x}', request)
                when rm_cmd is not null then coalesce(rm_cmd_name, name || ' 0x' || format('{:08x}', rm_cmd))
                when rm_class is not null then name || ' ' || coalesce(rm_class_name, '0x' || format('{:x}', rm_class))
                else name end,
            device, ts_mono_ns, dur_ns, off_cpu_ns, ret,
            ret between -4095 and -1 or coalesce(nv_status, 0) <> 0, null, -1 from gpu_ioctl""")
    if not sources:
        return []
    return run.rows(f"""select name, device,
            sum(greatest(least(s + d, $z) - greatest(s, $a), 0))::bigint as ns,
            sum(coalesce(o, 0)::hugeint * greatest(least(s + d, $z) - greatest(s, $a), 0) // greatest(d, 1))::bigint as off,
            list(d) filter (s + d >= $a and s + d < $z) as lengths,
            count(*) filter (s + d >= $a and s + d < $z and failed) as errors,
            sum(case when nr = 9 and s + d >= $a and s + d < $z and ret not between -4095 and -1 then arg1 end)::bigint as mapped,
            sum(case when nr = 11 and s + d >= $a and s + d < $z and ret not between -4095 and -1 then arg1 end)::bigint as unmapped
        from ({' union all '.join(sources)}) where s < $z and s + d >= $a group by name, device""", a=a, z=z)


def calls(run, picture, compare, a, z):
    bins = (z - a) // 100_000_000 + 2
    expected = {(row["name"], row["device"]): row for row in traced(run, a, z) if row["ns"] or row["lengths"]}
    shown = {(c["name"], c["device"]): c for c in picture["calls"] if c["errors"] is not None}
    compare.same("calls", sorted(map(str, shown)), sorted(map(str, expected)))
    for key in set(shown) & set(expected):
        call, row = shown[key], expected[key]
        compare.same(f"call {key}.time", call["total_ns"], row["ns"])
        compare.same(f"call {key}.off", call["off_cpu_ns"], row["off"], absolute=float(bins * 2 + len(row["lengths"] or [])))
        compare.same(f"call {key}.errors", call["errors"], row["errors"])
        same_latency(compare, f"call {key}", call["latency"], row["lengths"] or [])
    counted = {}
    if "histogram" in run.tables:
        for row in run.rows("""select split_part(key, ' ', 2) as name, ts_mono_ns as s, dur_ns as d, bucket_high_ns as high,
                count as n, coalesce(total_ns, 0) as total from histogram
                where name = 'syscall' and ts_mono_ns < $z and ts_mono_ns + dur_ns > $a""", a=a, z=z):
            part = (min(row["s"] + row["d"], z) - max(row["s"], a)) / row["d"]
            buckets = counted.setdefault(row["name"], [{}, 0.0])
            buckets[0][row["high"]] = buckets[0].get(row["high"], 0.0) + row["n"] * part
            buckets[1] += row["total"] * part
    for call in (c for c in picture["calls"] if c["errors"] is None):
        buckets, total = counted.pop(call["name"], ({}, 0.0))
        compare.same(f"counted {call['name']}.time", call["total_ns"], total, absolute=1.0)
        compare.same(f"counted {call['name']}.count", call["latency"]["count"], sum(round(n) for n in buckets.values()),
                     absolute=float(len(buckets)))
    compare.same("counted calls", sorted(counted), sorted(name for name in counted if (name, None) in shown))


def memory(run, picture, found, compare, a, z):
    shown = picture["memory"]
    rows = run.rows("select * from process_sample where rss_bytes is not null order by ts_mono_ns") if "process_sample" in run.tables else []
    processes = {}
    for thread in found.values():
        processes.setdefault(thread["tgid"], []).append(thread)
    compare.same("memory.processes", sorted(p["tgid"] for p in shown["processes"]), sorted(processes))
    for process in shown["processes"]:
        of = [row for row in rows if row["tgid"] == process["tgid"] and row["ts_mono_ns"] < z]
        last = of[-1] if of else {}
        where = f"memory {process['tgid']}"
        for name, column in (("rss_bytes", "rss_bytes"), ("anon_bytes", "rss_anon_bytes"), ("file_bytes", "rss_file_bytes"),
                             ("shmem_bytes", "rss_shmem_bytes"), ("swap_bytes", "swap_bytes"), ("peak_bytes", "rss_peak_bytes")):
            compare.same(f"{where}.{name}", process[name], last.get(column))
        compare.same(f"{where}.history", process["rss_history"], [row["rss_bytes"] for row in of if row["ts_mono_ns"] >= a])
        for name in ("minor_faults", "major_faults"):
            expected = sum(thread[name] for thread in processes.get(process["tgid"], []))
            compare.same(f"{where}.{name}", process[name], expected, tolerance=1e-9, absolute=1e-6)
    cgroups = {}
    for row in run.rows("select * from cgroup_sample order by ts_mono_ns") if "cgroup_sample" in run.tables else []:
        cgroups.setdefault((row["path"], row["version"]), []).append(row)
    cgroups = {key: rows for key, rows in cgroups.items() if rows[0]["ts_mono_ns"] < z}
    compare.same("cgroups", [c["path"] for c in shown["cgroups"]], [path for path, _ in sorted(cgroups)])
    for cgroup, (_, rows) in zip(shown["cgroups"], sorted(cgroups.items())):
        last = [row for row in rows if row["ts_mono_ns"] < z][-1]
        first = next((row for row in reversed(rows) if row["ts_mono_ns"] <= a), rows[0])
        where = f"cgroup {cgroup['path']}"
        for name in ("memory_bytes", "memory_max_bytes"):
            compare.same(f"{where}.{name}", cgroup[name], last[name])
        for name in ("events_high", "events_max", "events_oom", "oom_kills", "refaults_file", "throttled_periods", "throttled_ns"):
            both = first[name] is not None and last[name] is not None
            compare.same(f"{where}.{name}", cgroup[name], max(last[name] - first[name], 0) if both else None)
        quota = last["quota_ns"] / last["period_ns"] if last["quota_ns"] is not None and last["period_ns"] else None
        compare.same(f"{where}.quota", cgroup["quota_cpus"], quota, tolerance=1e-9)
    if shown["calls"]:
        rows = traced(run, a, z)
        compare.same("mapped", shown["calls"]["mapped_bytes"], sum(row["mapped"] or 0 for row in rows))
        compare.same("unmapped", shown["calls"]["unmapped_bytes"], sum(row["unmapped"] or 0 for row in rows))


def health(run, picture, compare, a, z):
    shown, config = picture["health"], run.config
    records = run.rows("select count(*) as n from episode where not open_end and f >= $a and f < $z", a=a, z=z)[0]["n"]
    for table in {"syscall", "gpu_ioctl"} & run.tables:
        records += run.rows(f"select count(*) as n from {table} where ts_mono_ns + dur_ns >= $a and ts_mono_ns + dur_ns < $z", a=a, z=z)[0]["n"]
    compare.same("records", shown["records"], records)
    loss = run.rows("select * from loss") if "loss" in run.tables else []
    compare.same("probes", [(p["name"], p["on"]) for p in shown["probes"]], [(p["name"], p["on"]) for p in config["probes"]])
    for probe in shown["probes"]:
        of = [row for row in loss if row["probe"] == probe["name"]]
        here = [row["dropped"] for row in of if row["start_mono_ns"] < z and row["end_mono_ns"] > a]
        compare.same(f"probe {probe['name']}", (probe["dropped"], probe["dropped_in_all"]), (sum(here), sum(row["dropped"] for row in of)))
    steps = run.rows("select * from shed where ts_mono_ns < $z order by ts_mono_ns", z=z) if "shed" in run.tables else []
    step = steps[-1] if steps else None
    compare.same("ceiling", shown["ceiling"]["limit_ratio"], step and step["max_overhead_ratio"])
    compare.same("shed", shown["ceiling"]["shed"], step["what"] if step and step["step"] != "everything" else "")
    totals = config["totals"]
    if totals:
        part = (z - a) / (config["ended"]["mono_ns"] - config["started"]["mono_ns"])
        compare.same("own cpu", shown["own_cpu_ns"], totals["own_cpu_ns"] * part, absolute=1.0)
        compare.same("own rss", shown["own_rss_bytes"], totals["own_max_rss_bytes"])
        compare.same("bytes", shown["recorder"]["bytes"], totals["bytes"])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("run", type=Path)
    arguments.add_argument("--hostprof", default="hostprof")
    arguments.add_argument("--windows", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    run, chance = Run(given.run), random.Random(given.seed)
    begin, end = run.config["started"]["mono_ns"], run.config["ended"]["mono_ns"]
    seconds, failed, numbers = (end - begin) / 1e9, 0, 0
    for _ in range(given.windows):
        at, window = chance.uniform(0.2, seconds), chance.choice((0.1, 0.5, 1, 2.5, 5, 10))
        command = [given.hostprof, "replay", str(given.run), "--once", "--json", "--at", f"{at:.3f}s", "--window", f"{window}s"]
        picture = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        a, z = picture["from"], picture["to"]
        compare, found = Comparison(), threads(run, a, z)
        overview(run, picture, found, compare, a, z)
        each_thread(run, picture, found, compare, a, z)
        calls(run, picture, compare, a, z)
        memory(run, picture, found, compare, a, z)
        health(run, picture, compare, a, z)
        numbers += compare.numbers
        failed += bool(compare.differences)
        print(f"{(a - begin) / 1e9:8.3f} to {(z - begin) / 1e9:8.3f} s: {compare.numbers} numbers, {len(compare.differences)} differ")
        for difference in compare.differences[:10]:
            print(f"    {difference}")
    print(f"{given.windows - failed} of {given.windows} windows equal, {numbers} numbers")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
