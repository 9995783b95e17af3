#!/usr/bin/env bash
# Records a server under `hostprof load` while one cause of slow requests is planted by hand, for the report to name.
#
#   plant.sh HOSTPROF PID URL OUT CAUSE [load options…]      as root; CAUSE: none, stop, hog, quota
#
# stop: the server is stopped for 1.5 s in the middle. hog: a loop runs on the server's last CPU all along. quota: the
# server may have 0.8 CPUs (cgroup v1, mounted at /sys/fs/cgroup/cpu). Prints the run folder.
set -eu
hostprof=$(realpath "$1") pid=$2 url=$3 out=$4 cause=$5
shift 5
[ $# -gt 0 ] || set -- --concurrency 1 --requests 40 --input-tokens 64 --output-tokens 48
mkdir -p "$out"

group=/sys/fs/cgroup/cpu/hostprof-story-$$
tidy() {
  kill -CONT "$pid" 2>/dev/null || true
  [ -z "${hog-}" ] || kill "$hog" 2>/dev/null || true
  if [ -d "$group" ]; then
    echo "$pid" >/sys/fs/cgroup/cpu/cgroup.procs
    rmdir "$group"
  fi
}
trap tidy EXIT

case $cause in
none | stop) ;;
hog)
  taskset -c "$(($(nproc) - 1))" sh -c 'while :; do :; done' &
  hog=$!
  ;;
quota)
  mkdir "$group"
  echo 100000 >"$group/cpu.cfs_period_us"
  echo 80000 >"$group/cpu.cfs_quota_us"
  echo "$pid" >"$group/cgroup.procs"
  ;;
*)
  echo "plant.sh: unknown cause $cause" >&2
  exit 2
  ;;
esac

"$hostprof" record -o "$out/runs" --pid "$pid" --probe auto,http >"$out/run" 2>"$out/record.txt" &
recorder=$!
until grep -qs '"started"' "$out"/runs/*/config.json; do sleep 0.1; done
sleep 1
"$hostprof" load --url "$url" -o "$out/load.jsonl" "$@" >"$out/load.txt" 2>&1 &
load=$!
if [ "$cause" = stop ]; then
  sleep 3
  kill -STOP "$pid"
  sleep 1.5
  kill -CONT "$pid"
fi
wait "$load"
sleep 0.5
kill -INT "$recorder"
wait "$recorder"
cat "$out/run"
