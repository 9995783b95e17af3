"""What each call of NVML that hostprof makes takes, by ctypes: median and worst of 50, microseconds."""

import ctypes
import statistics
import time

lib = ctypes.CDLL("libnvidia-ml.so.1")
begin = time.perf_counter()
assert lib.nvmlInit_v2() == 0
print(f"nvmlInit_v2 {(time.perf_counter() - begin) * 1e3:.1f} ms")
device = ctypes.c_void_p()
assert lib.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)) == 0
room = ctypes.create_string_buffer(1 << 16)


class FieldValue(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint), ("scope", ctypes.c_uint), ("timestamp", ctypes.c_longlong),
                ("latency", ctypes.c_longlong), ("type", ctypes.c_uint), ("status", ctypes.c_uint),
                ("value", ctypes.c_ulonglong)]


def fields(wanted):
    values = (FieldValue * len(wanted))()
    for value, (number, scope) in zip(values, wanted):
        value.id, value.scope = number, scope
    return values


ALL = 0xFFFFFFFF
FIELDS = {"memory temperature": (82, 0), "PCIe received": (198, 0), "PCIe sent": (197, 0),
          "NVLink received": (139, ALL), "NVLink sent": (138, ALL)}


def timed(name, call, times=50):
    took, status = [], 0
    for _ in range(times):
        begin = time.perf_counter()
        status = call()
        took.append((time.perf_counter() - begin) * 1e6)
    print(f"{name:44} median {statistics.median(took):9.1f} worst {max(took):9.1f} µs, status {status}")


def memory():
    ctypes.memset(room, 0, 64)
    ctypes.c_uint.from_buffer(room).value = 40 | 2 << 24
    return lib.nvmlDeviceGetMemoryInfo_v2(device, room)


def processes(name):
    count = ctypes.c_uint(64)
    return getattr(lib, name)(device, ctypes.byref(count), room)


def utilization():
    count = ctypes.c_uint(200)
    return lib.nvmlDeviceGetProcessUtilization(device, room, ctypes.byref(count), ctypes.c_ulonglong(0))


for name in ["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetEnforcedPowerLimit",
             "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetCurrentClocksThrottleReasons",
             "nvmlDeviceGetPcieReplayCounter"]:
    timed(name, lambda: getattr(lib, name)(device, room))
timed("nvmlDeviceGetMemoryInfo_v2", memory)
for kind in (1, 2):
    timed(f"nvmlDeviceGetClockInfo {kind}", lambda: lib.nvmlDeviceGetClockInfo(device, kind, room))
timed("nvmlDeviceGetTemperature", lambda: lib.nvmlDeviceGetTemperature(device, 0, room))
for kind in (0, 1):
    timed(f"nvmlDeviceGetTotalEccErrors {kind}", lambda: lib.nvmlDeviceGetTotalEccErrors(device, kind, 0, room))
for name in ["Compute", "Graphics", "MPSCompute"]:
    name = f"nvmlDeviceGet{name}RunningProcesses_v3"
    timed(name, lambda: processes(name))
timed("nvmlDeviceGetProcessUtilization", utilization)
for name, field in FIELDS.items():
    values = fields([field])
    timed(f"field: {name}", lambda: lib.nvmlDeviceGetFieldValues(device, 1, values))
    print(f"    status {values[0].status}, type {values[0].type}, value {values[0].value}")
every = fields(list(FIELDS.values()))
timed("all fields at once", lambda: lib.nvmlDeviceGetFieldValues(device, len(every), every))
timed("nvmlDeviceGetPcieThroughput (not called)", lambda: lib.nvmlDeviceGetPcieThroughput(device, 0, room), 10)

# Whether the PCIe counter wraps, and in what unit it counts.
values = fields([(197, 0), (198, 0)])
last = None
for _ in range(20):
    lib.nvmlDeviceGetFieldValues(device, 2, values)
    now = (time.monotonic(), values[0].value, values[1].value)
    if last:
        seconds = now[0] - last[0]
        print(f"PCIe counters: sent {(now[1] - last[1]) / seconds / 1e6:.3f} M/s, received {(now[2] - last[2]) / seconds / 1e6:.3f} M/s")
    last = now
    time.sleep(0.1)

if hasattr(lib, "nvmlGpmSampleAlloc"):
    sample = ctypes.c_void_p()
    if lib.nvmlGpmSampleAlloc(ctypes.byref(sample)) == 0:
        def gpm():
            time.sleep(0.11)
            begin = time.perf_counter()
            gpm.status = lib.nvmlGpmSampleGet(device, sample)
            return (time.perf_counter() - begin) * 1e6
        took = [gpm() for _ in range(20)]
        print(f"{'nvmlGpmSampleGet':44} median {statistics.median(took):9.1f} worst {max(took):9.1f} µs, status {gpm.status}")
