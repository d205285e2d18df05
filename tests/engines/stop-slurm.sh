#!/usr/bin/env bash
# End the Slurm that start-slurm.sh DIR brought up, its jobs first, by its own process files.
set -uo pipefail
dir=$(realpath -m "${1:?usage: stop-slurm.sh DIR}")
[ -f "$dir/env.sh" ] || exit 0
. "$dir/env.sh"
timeout 10 scancel --me --full 2>/dev/null
for _ in $(seq 50); do [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break; sleep 0.2; done
for file in "$dir"/pid/slurmd.* "$dir"/pid/slurmctld "$dir"/pid/munged; do
  [ -s "$file" ] || continue
  pid=$(cat "$file") name=$(basename "$file")
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${name%%.*}" ] || continue # the number belongs to another by now
  kill "$pid"
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -0 "$pid" 2>/dev/null && kill -9 "$pid"
done
exit 0
