#!/usr/bin/env bash
# Records the NVIDIA driver's calls of a torch generation, decodes them again from raw bytes, and counts them apart.
#
#   decode.sh FOLDER OUT     FOLDER: holds the hostprof binary, and what is not beside this script: decode.py, generate.py,
#                            counted.py, count_ioctl.c, and the data of names (data/nvidia, or rm_commands.csv and its kin);
#                            OUT: a folder for what comes of it
#
# Needs: root, an NVIDIA GPU, python3 with torch and transformers. gcc is used where there is one.
# Writes: summary.txt, report.txt, decode.txt, unknown.txt, rows.json.gz, config.json, stderr.txt.
# Ends with 1 where a count or a decoding disagrees, or less than 99 % of calls or 95 % of commands have a name.
set -u
folder=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
hostprof=$folder/hostprof
python=${PYTHON:-python3}
beside() { for at in "$folder/$1" "$here/$1"; do [ -e "$at" ] && { echo "$at"; return; }; done; }
data=$(beside data/nvidia)
data=${data:-$(realpath "$here/../../hostprof/data/nvidia" 2> /dev/null || dirname "$(beside rm_commands.csv)")}
work=$(mktemp -d)
cd "$work" || exit 1
failed=0
say() { echo "$*" | tee -a "$out/summary.txt"; }
must() { # WHAT CONDITION...
    local what=$1
    shift
    if "$@"; then say "ok    $what"; else say "FAILS $what"; failed=1; fi
}

say "$(uname -r), $(nproc) CPUs, $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null || echo 'no GPU')"
"$hostprof" --version | tee -a "$out/summary.txt"

# Three counts that share nothing with hostprof: a library in front of libc's ioctl, as far as a compiler is there; a
# counter of perf's in the kernel, as far as it may be had; strace in another run, as far as that is there.
preload=
if command -v gcc > /dev/null; then
    gcc -O2 -shared -fPIC -o count_ioctl.so "$(beside count_ioctl.c)" && preload=$work/count_ioctl.so
fi
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing 2> /dev/null

# Options for a rehearsal without a GPU come in OPTIONS, its program in PROGRAM.
# shellcheck disable=SC2086 # words
"$hostprof" record -o runs --probe auto,ioctl --keep-ioctl-bytes ${OPTIONS-} -- \
    "$python" "$(beside counted.py)" "$work/counted" \
    env COUNT_IOCTL="$work/count" LD_PRELOAD="$preload" "$python" ${PROGRAM-$(beside generate.py)} > run.txt 2> record.err
status=$?
cp record.err "$out/stderr.txt"
run=$(tail -1 run.txt)
grep -v '^runs/' run.txt | tee -a "$out/summary.txt"
must "the program and its recording end well" [ $status = 0 ]
"$hostprof" check "$run" > check.txt 2>&1
must "hostprof check passes" [ $? = 0 ]
"$hostprof" report "$run" > "$out/report.txt" 2>&1
cp "$run/config.json" "$out/"
"$hostprof" export --to json --table gpu_ioctl --table thread -o tables "$run" > /dev/null 2>&1
rows=$(find tables -name 'gpu_ioctl*' | head -1)
"$python" "$(beside decode.py)" "$rows" "$data" --rows 30 --seed "${SEED-1}" \
    --driver "$(cat /sys/module/nvidia/version 2> /dev/null || echo "${DRIVER-0}")" > "$out/decode.txt" 2>&1
must "30 random rows, and all others, decoded again agree" [ $? = 0 ]
cat "$out/decode.txt" | tee -a "$out/summary.txt"
grep 'without a name' "$out/decode.txt" > "$out/unknown.txt"
gzip -c "$rows" > "$out/rows.json.gz"

share() { sed -n "s/^$1.*(\([0-9.]*\) %).*/\1/p" "$out/decode.txt"; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'; }
must "at least 99 % of calls have a name: $(share calls) %" at_least "$(share calls)" 99
must "at least 95 % of commands have a name: $(share 'distinct commands') %" at_least "$(share 'distinct commands')" 95
must "the provoked failure shows its status" grep -q "failed: ${PROVOKED-NV_ERR_}" "$out/decode.txt"

calls=$(wc -l < "$rows")
say "rows $calls"
if [ -s count ]; then
    read -r _ counted others < count
    say "counted in front of libc in the same run: $counted on NVIDIA's devices, $others on others"
    [ -n "${OPTIONS-}" ] || must "the sum equals that count" [ "$calls" = "$counted" ]
fi
if [ -s counted ]; then
    say "counted by perf in the same run: $(cat counted) but for those of terminals and files"
    # Of other devices a program may make some, so this count is no less.
    [ -n "${OPTIONS-}" ] || must "the sum is no more than that count" [ "$calls" -le "$(cat counted)" ]
fi
[ -s count ] || [ -s counted ] || must "there is an independent count" false
if command -v strace > /dev/null; then
    # shellcheck disable=SC2086 # words
    timeout 200 strace -f --seccomp-bpf -c -e trace=ioctl -o strace.txt "$python" ${PROGRAM-$(beside generate.py)} > /dev/null 2>&1
    say "strace in a run of its own: $(awk '$NF == "ioctl" { print $4 }' strace.txt) ioctls on all devices"
fi
say "unknown commands: $(wc -l < "$out/unknown.txt")"
cp -r "$run" "$out/run" 2> /dev/null
exit $failed
