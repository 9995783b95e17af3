"""What the machine has to plant with: cgroups of either version, disks, CPUs."""

import fcntl
import os
import pathlib
import subprocess
import sys
import time

CGROUP = pathlib.Path("/sys/fs/cgroup")
NAME = "hostprof-campaign"
NOTHING = 1 << 60


class Unplantable(Exception):
    """Why something cannot be planted here."""


def write(path, text):
    try:
        path.write_text(text)
    except OSError as err:
        raise Unplantable(f"write {text.strip()!r} to {path}: {err.strerror}") from err


def own_v1():
    """This process's cgroup of each controller of version 1."""
    lines = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
    fields = [line.split(":", 2) for line in lines]
    return {name: path.lstrip("/") for _, names, path in fields for name in names.split(",")}


class Group:
    """The cgroup of a lane's server."""

    def __init__(self, lane):
        self.version = 2 if (CGROUP / "cgroup.controllers").exists() else 1
        self.refused = {}
        if self.version == 2:
            for folder in (CGROUP, CGROUP / NAME):
                folder.mkdir(exist_ok=True)
                has = (folder / "cgroup.controllers").read_text().split()
                for controller in ("cpu", "memory", "io"):
                    if controller in has:
                        try:
                            write(folder / "cgroup.subtree_control", f"+{controller}")
                        except Unplantable as err:
                            self.refused[controller] = str(err)
            self.folders = {name: CGROUP / NAME / f"lane{lane}" for name in ("cpu", "memory", "io")}
        else:
            own = own_v1()
            self.folders = {
                name: CGROUP / v1 / own.get(v1, "") / NAME / f"lane{lane}"
                for name, v1 in (("cpu", "cpu"), ("memory", "memory"), ("io", "blkio"))
                if (CGROUP / v1 / "cgroup.procs").exists()
            }
        # Beside it, so that hogs and the server are weighed against each other and not against all else.
        cpu = self.folders.get("cpu")
        self.hogs = cpu and cpu.parent / f"hogs{lane}"
        for folder in [*self.folders.values(), *([self.hogs] if self.hogs else [])]:
            folder.mkdir(parents=True, exist_ok=True)

    def join(self):
        """Moves the calling process into it; what it starts begins there."""
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text("0")

    def file(self, controller, v2, v1):
        folder = self.folders.get(controller)
        path = folder and folder / (v2 if self.version == 2 else v1)
        if not path or not path.exists():
            why = self.refused.get(controller, "it is not offered")
            raise Unplantable(f"no controller {controller} of cgroup v{self.version} here: {why}")
        return path

    def weigh(self, server, hogs):
        """Weights of the server and of the hogs; 1.0 is that of any cgroup."""
        name, usual = ("cpu.weight", 100) if self.version == 2 else ("cpu.shares", 1024)
        write(self.file("cpu", name, name), str(int(server * usual)))
        write(self.hogs / name, str(int(hogs * usual)))

    def join_hogs(self):
        (self.hogs / "cgroup.procs").write_text("0")

    def quota(self, cpus):
        """Limits its CPUs; None for no limit."""
        if self.version == 2:
            limit = "max 100000" if cpus is None else f"{int(cpus * 100_000)} 100000"
            write(self.file("cpu", "cpu.max", ""), limit)
        else:
            write(self.file("cpu", "", "cpu.cfs_quota_us"), "-1" if cpus is None else str(int(cpus * 100_000)))

    def memory_used(self):
        return int(self.file("memory", "memory.current", "memory.usage_in_bytes").read_text())

    def memory(self, most):
        """Limits its memory; None for no limit."""
        if self.version == 2:
            write(self.file("memory", "memory.high", ""), "max" if most is None else str(most))
        else:
            write(self.file("memory", "", "memory.limit_in_bytes"), "-1" if most is None else str(most))

    def reads(self, iops):
        """Limits its reads a second of every disk that can be limited; None for no limit."""
        refused = "there is no disk"
        held = 0
        for disk in disks():
            try:
                if self.version == 2:
                    write(self.file("io", "io.max", ""), f"{disk} riops={iops or 'max'}")
                else:
                    write(self.file("io", "", "blkio.throttle.read_iops_device"), f"{disk} {iops or 0}")
                held += 1
            except Unplantable as err:
                refused = str(err)
        if not held:
            raise Unplantable(refused)

    def remove(self):
        for folder in [*set(self.folders.values()), *([self.hogs] if self.hogs else [])]:
            for _ in range(50):
                try:
                    folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)
            try:
                folder.parent.rmdir()
            except OSError:
                pass


def disks():
    """Whole disks, as major:minor, that are no loop devices and no memory."""
    found = []
    for disk in pathlib.Path("/sys/block").iterdir():
        if not disk.name.startswith(("loop", "ram", "zram", "sr", "fd")):
            found.append((disk / "dev").read_text().strip())
    return found


LOOP_SET_FD, LOOP_CLR_FD, LOOP_SET_DIRECT_IO, LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C08, 0x4C82


class LoopDisk:
    """A disk of a lane's own: a loop device on a file, past the page cache. Its reads are held by the limit that the
    reader's cgroup has on the disk below, and are slow reads of this disk meanwhile."""

    def __init__(self, file):
        self.device = None
        try:
            control = os.open("/dev/loop-control", os.O_RDWR)
        except OSError as err:
            raise Unplantable(f"open /dev/loop-control: {err.strerror}") from err
        backing = os.open(file, os.O_RDWR)
        try:
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            if not os.path.exists(path):
                os.mknod(path, 0o600 | 0o060000, os.makedev(7, number))
            device = os.open(path, os.O_RDWR)
            fcntl.ioctl(device, LOOP_SET_FD, backing)
            self.device, self.path = device, path
            fcntl.ioctl(device, LOOP_SET_DIRECT_IO, 1)
        except OSError as err:
            self.close()
            raise Unplantable(f"make a loop device on {file}: {err.strerror}") from err
        finally:
            os.close(control)
            os.close(backing)

    def close(self):
        if self.device is not None:
            fcntl.ioctl(self.device, LOOP_CLR_FD)
            os.close(self.device)
            self.device = None


READ_SLOWLY = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
begun = time.monotonic()
for at in range(12):
    os.posix_fadvise(fd, at << 20, 16384, os.POSIX_FADV_DONTNEED)
    os.pread(fd, 16384, at << 20)
print((time.monotonic() - begun) / 12)
"""


def try_slow_disk(group, disk):
    """Whether a limit on reads really holds them."""
    group.reads(20)
    try:
        command = [sys.executable, "-c", READ_SLOWLY, disk.path]
        took = float(subprocess.check_output(command, preexec_fn=group.join, timeout=30))
    finally:
        group.reads(None)
    if took < 0.025:
        raise Unplantable(f"reads limited to 20 a second took {took * 1e3:.1f} ms each: the limit does not hold here")


def make_file(path, size):
    """A file of noise, on storage."""
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def evict(path):
    """Drops a file's pages from the page cache."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def try_evict(path):
    """Whether pages of a file leave memory."""
    evict(path)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.preadv(fd, [bytearray(4096)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return
    except OSError as err:
        raise Unplantable(f"ask whether a page is in memory: {err.strerror}") from err
    finally:
        os.close(fd)
    raise Unplantable(f"pages of {path} stay in memory (is it on a tmpfs?)")


def try_memory():
    try:
        pathlib.Path("/proc/pressure/memory").read_text()
    except OSError as err:
        raise Unplantable(f"read /proc/pressure/memory: {err.strerror} (psi=1 at boot)") from err
