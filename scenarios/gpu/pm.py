"""CUPTI's device-level PM sampling from a process that has nothing to do with what runs on the GPU, by ctypes.

usage: pm.py FILE_OF_LIBCUPTI [--init none|cuinit|context] [--mode time|sysclk] [--interval N] [--seconds S]
             [--metrics a,b,c] [--buffer BYTES] [--samples N] [--csv FILE] [--hold FILE]

Prints one JSON object: each step's result code, what of the GPU's memory this process took, passes, samples, their
lengths, what was lost, and its own CPU time. --hold: after the start, make FILE and go on until it is gone.
"""

import argparse
import csv
import ctypes as c
import json
import os
import resource
import subprocess
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("cupti")
parser.add_argument("--init", choices=["none", "cuinit", "context"], default="cuinit")
parser.add_argument("--mode", choices=["time", "sysclk"], default="time")
parser.add_argument("--interval", type=int, default=100_000, help="nanoseconds, or cycles of the system clock")
parser.add_argument("--seconds", type=float, default=2.0)
parser.add_argument("--metrics", default="gr__cycles_active.avg.pct_of_peak_sustained_elapsed,"
                    "sm__cycles_active.avg.pct_of_peak_sustained_elapsed,"
                    "dram__throughput.avg.pct_of_peak_sustained_elapsed")
parser.add_argument("--buffer", type=int, default=512 << 20)
parser.add_argument("--samples", type=int, default=20_000)
parser.add_argument("--append", type=int, default=0, help="0: a full buffer keeps its oldest, 1: its newest")
parser.add_argument("--poll", type=float, default=0.1, help="seconds between two decodings")
parser.add_argument("--csv")
parser.add_argument("--hold")
args = parser.parse_args()

told = {"init": args.init, "mode": args.mode, "interval": args.interval, "metrics": args.metrics.split(","), "steps": {}}
P, SIZE, U64 = c.c_void_p, c.c_size_t, c.c_uint64


def struct(name, *fields):
    """A parameter block: its size, a pointer that stays null, then these; its size is told as the header tells it."""
    kind = type(name, (c.Structure,), {"_fields_": [("structSize", SIZE), ("pPriv", P), *fields]})
    last = kind._fields_[-1][0]
    kind.size = getattr(kind, last).offset + getattr(kind, last).size
    return kind


Object = ("pPmSamplingObject", P)
Host = ("pHostObject", P)
Image = [("pCounterDataImage", P), ("counterDataImageSize", SIZE)]
CALLS = {
    "cuptiProfilerInitialize": struct("Initialize"),
    "cuptiDeviceGetChipName": struct("ChipName", ("deviceIndex", SIZE), ("pChipName", c.c_char_p)),
    "cuptiPmSamplingGetCounterAvailability": struct(
        "Availability", ("deviceIndex", SIZE), ("counterAvailabilityImageSize", SIZE), ("pCounterAvailabilityImage", P)),
    "cuptiProfilerHostInitialize": struct(
        "HostInitialize", ("profilerType", c.c_int), ("pChipName", c.c_char_p), ("pCounterAvailabilityImage", P), Host),
    "cuptiProfilerHostConfigAddMetrics": struct("AddMetrics", Host, ("ppMetricNames", P), ("numMetrics", SIZE)),
    "cuptiProfilerHostGetConfigImageSize": struct("ConfigSize", Host, ("configImageSize", SIZE)),
    "cuptiProfilerHostGetConfigImage": struct("Config", Host, ("configImageSize", SIZE), ("pConfigImage", P)),
    "cuptiProfilerHostGetNumOfPasses": struct(
        "Passes", ("configImageSize", SIZE), ("pConfigImage", P), ("numOfPasses", SIZE)),
    "cuptiPmSamplingEnable": struct("Enable", ("deviceIndex", SIZE), Object),
    "cuptiPmSamplingSetConfig": struct(
        "SetConfig", Object, ("configSize", SIZE), ("pConfig", P), ("hardwareBufferSize", SIZE),
        ("samplingInterval", U64), ("triggerMode", c.c_int), ("hwBufferAppendMode", c.c_int)),
    "cuptiPmSamplingGetCounterDataSize": struct(
        "DataSize", Object, ("pMetricNames", P), ("numMetrics", SIZE), ("maxSamples", c.c_uint32),
        ("counterDataSize", SIZE)),
    "cuptiPmSamplingCounterDataImageInitialize": struct(
        "DataInitialize", Object, ("counterDataSize", SIZE), ("pCounterData", P)),
    "cuptiPmSamplingStart": struct("Start", Object),
    "cuptiPmSamplingDecodeData": struct(
        "Decode", Object, *Image, ("decodeStopReason", c.c_int), ("overflow", c.c_uint8)),
    "cuptiPmSamplingGetCounterDataInfo": struct(
        "DataInfo", *Image, ("numTotalSamples", SIZE), ("numPopulatedSamples", SIZE), ("numCompletedSamples", SIZE)),
    "cuptiPmSamplingCounterDataGetSampleInfo": struct(
        "SampleInfo", Object, *Image, ("sampleIndex", SIZE), ("startTimestamp", U64), ("endTimestamp", U64)),
    "cuptiProfilerHostEvaluateToGpuValues": struct(
        "Evaluate", Host, *Image, ("rangeIndex", SIZE), ("ppMetricNames", P), ("numMetrics", SIZE), ("pMetricValues", P)),
    "cuptiPmSamplingStop": struct("Stop", Object),
    "cuptiPmSamplingDisable": struct("Disable", Object),
}


def finish(code):
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told["own_cpu_s"] = usage.ru_utime + usage.ru_stime
    told["own_rss_mib"] = usage.ru_maxrss >> 10
    print(json.dumps(told))
    sys.exit(code)


def memory(when):
    """MiB of the GPU's memory in use, and this process's own as nvidia-smi lists it (absent: it lists none)."""
    def ask(*query):
        return subprocess.run(["nvidia-smi", *query, "--format=csv,noheader,nounits"], capture_output=True, text=True).stdout
    used = ask("--query-gpu=memory.used", "-i", "0").strip()
    own = [line.split(",")[1].strip() for line in ask("--query-compute-apps=pid,used_memory").splitlines()
           if line.split(",")[0].strip() == str(os.getpid())]
    told.setdefault("memory_mib", {})[when] = {"gpu": used, "own": own}


memory("before")
cuda = c.CDLL("libcuda.so.1") if args.init != "none" else None
if cuda:
    told["steps"]["cuInit"] = cuda.cuInit(0)
    if args.init == "context":
        context = P()
        told["steps"]["cuDevicePrimaryCtxRetain"] = cuda.cuDevicePrimaryCtxRetain(c.byref(context), 0)
        told["steps"]["cuCtxSetCurrent"] = cuda.cuCtxSetCurrent(context)
    memory("after_init")
cupti = c.CDLL(args.cupti, mode=c.RTLD_GLOBAL)


def call(name, must=True, **fields):
    parameters = CALLS[name]()
    parameters.structSize = CALLS[name].size
    for field, value in fields.items():
        setattr(parameters, field, value)
    begin = time.perf_counter()
    code = getattr(cupti, name)(c.byref(parameters))
    took = time.perf_counter() - begin
    told["call_us"] = told.get("call_us", {})
    told["call_us"].setdefault(name, round(took * 1e6))
    totals = told.setdefault("calls_and_ms", {}).setdefault(name, [0, 0.0])
    totals[0] += 1
    totals[1] = round(totals[1] + took * 1e3, 3)
    if code or name not in told["steps"]:
        text = c.c_char_p()
        cupti.cuptiGetResultString(code, c.byref(text))
        told["steps"][name] = f"{code} {(text.value or b'').decode()}"
    if code and must:
        finish(1)
    return parameters


def buffer(size):
    return (c.c_uint8 * size)()


call("cuptiProfilerInitialize")
chip = call("cuptiDeviceGetChipName", deviceIndex=0).pChipName
told["chip"] = chip.decode()
size = call("cuptiPmSamplingGetCounterAvailability", deviceIndex=0).counterAvailabilityImageSize
available = buffer(size)
call("cuptiPmSamplingGetCounterAvailability", deviceIndex=0, counterAvailabilityImageSize=size,
     pCounterAvailabilityImage=c.addressof(available))
PM_SAMPLING = 1
host = call("cuptiProfilerHostInitialize", profilerType=PM_SAMPLING, pChipName=chip,
            pCounterAvailabilityImage=c.addressof(available)).pHostObject
names = (c.c_char_p * len(told["metrics"]))(*[name.encode() for name in told["metrics"]])
metrics = {"ppMetricNames": c.addressof(names), "numMetrics": len(names)}
call("cuptiProfilerHostConfigAddMetrics", pHostObject=host, **metrics)
size = call("cuptiProfilerHostGetConfigImageSize", pHostObject=host).configImageSize
config = buffer(size)
call("cuptiProfilerHostGetConfigImage", pHostObject=host, configImageSize=size, pConfigImage=c.addressof(config))
told["passes"] = call("cuptiProfilerHostGetNumOfPasses", configImageSize=size, pConfigImage=c.addressof(config)).numOfPasses
pm = call("cuptiPmSamplingEnable", deviceIndex=0).pPmSamplingObject
memory("after_enable")
call("cuptiPmSamplingSetConfig", pPmSamplingObject=pm, configSize=size, pConfig=c.addressof(config),
     hardwareBufferSize=args.buffer, samplingInterval=args.interval, triggerMode=int(args.mode == "time"),
     hwBufferAppendMode=args.append)
memory("after_config")
size = call("cuptiPmSamplingGetCounterDataSize", pPmSamplingObject=pm, pMetricNames=c.addressof(names),
            numMetrics=len(names), maxSamples=args.samples).counterDataSize
image = buffer(size)
told["counter_data_mib"] = size / (1 << 20)
data = {"pCounterDataImage": c.addressof(image), "counterDataImageSize": size}


def empty():
    call("cuptiPmSamplingCounterDataImageInitialize", pPmSamplingObject=pm, counterDataSize=size,
         pCounterData=c.addressof(image))


empty()
call("cuptiPmSamplingStart", pPmSamplingObject=pm)
memory("started")
told["start_mono_ns"], told["start_wall_ns"] = time.monotonic_ns(), time.time_ns()
rows, overflows, decodes, stops = [], 0, 0, []
values = (c.c_double * len(names))()


def take():
    """Decodes what the hardware has written, and keeps each sample."""
    global overflows, decodes
    decoded = call("cuptiPmSamplingDecodeData", must=False, pPmSamplingObject=pm, **data)
    decodes += 1
    overflows += decoded.overflow
    if decoded.decodeStopReason not in stops:
        stops.append(decoded.decodeStopReason)
    info = call("cuptiPmSamplingGetCounterDataInfo", **data)
    for index in range(info.numCompletedSamples):
        sample = call("cuptiPmSamplingCounterDataGetSampleInfo", pPmSamplingObject=pm, sampleIndex=index, **data)
        call("cuptiProfilerHostEvaluateToGpuValues", pHostObject=host, rangeIndex=index,
             pMetricValues=c.addressof(values), **metrics, **data)
        rows.append((sample.startTimestamp, sample.endTimestamp, *values))
    empty()


if args.hold:
    open(args.hold, "w").close()
end = time.monotonic() + args.seconds
while time.monotonic() < end and (not args.hold or os.path.exists(args.hold)):
    time.sleep(args.poll)
    take()
call("cuptiPmSamplingStop", must=False, pPmSamplingObject=pm)
told["stop_wall_ns"] = time.time_ns()
take()
call("cuptiPmSamplingDisable", must=False, pPmSamplingObject=pm)
memory("after_disable")

# The first sample reaches back to the start.
kept = rows[1:]
lengths = sorted(row[1] - row[0] for row in kept)
apart = [later[0] - earlier[1] for earlier, later in zip(kept, kept[1:])]
told.update(samples=len(rows), decodes=decodes, overflows=overflows, stop_reasons=stops)
if kept:
    told["length_ns"] = {"least": lengths[0], "median": lengths[len(lengths) // 2], "most": lengths[-1]}
    told["not_contiguous"] = sum(gap != 0 for gap in apart)
    told["lost_ns"] = sum(gap for gap in apart if gap > 0)
    told["covered_ns"] = kept[-1][1] - kept[0][0]
    told["means"] = [sum(row[2 + at] for row in kept) / len(kept) for at in range(len(names))]
    told["first_after_start_ns"] = kept[0][0] - told["start_wall_ns"]
if args.csv:
    with open(args.csv, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["start_wall_ns", "end_wall_ns", *told["metrics"]])
        writer.writerows(kept)
finish(0)
