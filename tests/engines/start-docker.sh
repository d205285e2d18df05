#!/usr/bin/env bash
# Make a Docker engine answer and print DOCKER_HOST=...; for a bare Debian machine or container, as root, without
# systemd.   eval "$(tests/engines/start-docker.sh)"; export DOCKER_HOST
#
# An engine that already answers ($DOCKER_HOST, the usual socket, or the private one of an earlier call) is used;
# with SEGARENA_DOCKER_PRIVATE=1 only the private one.
# Otherwise docker.io is installed from Debian where dockerd is missing, and a private dockerd is started with its
# state in $SEGARENA_DOCKER_DIR (default ${TMPDIR:-/tmp}/segarena-docker); stop it: kill "$(cat DIR/dockerd.pid)".
# It has no bridge, because submissions run without network, and lives in a network namespace of its own, because a
# dockerd that starts without a bridge deletes the bridge of any other engine in its namespace.
set -euo pipefail
dir=${SEGARENA_DOCKER_DIR:-${TMPDIR:-/tmp}/segarena-docker}
private=unix://$dir/docker.sock

answers() { # HOST
  python3 - "$1" 2>/dev/null <<'PY'
import socket, sys
kind, _, where = sys.argv[1].partition("://")
if kind == "unix":
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(3)
    s.connect(where)
else:
    host, _, port = where.partition(":")
    s = socket.create_connection((host, int(port or 2375)), 3)
s.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
sys.exit(b" 200 " not in s.recv(64))
PY
}

use_any_of() { # HOST... ; ends the script with the first that answers
  local host
  for host in "$@"; do
    if [ -n "$host" ] && answers "$host"; then echo "DOCKER_HOST=$host"; exit 0; fi
  done
}

install_engine() {
  local policy=/usr/sbin/policy-rc.d made= cli= rc=0
  if [ ! -e $policy ]; then # keeps apt from starting the system's own daemon
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    made=1
  fi
  {
    apt-get -qq update || rc=$?
    if apt-cache show docker-cli >/dev/null 2>&1; then cli=docker-cli; fi # a package of its own from Debian 13 on
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends docker.io $cli && rc=0 || rc=$?
  } >&2
  if [ -n "$made" ]; then rm -f $policy; fi
  return $rc
}

mount_cgroups() {
  local name
  if grep -q ' /sys/fs/cgroup' /proc/mounts; then return; fi
  if grep -q cgroup2 /proc/filesystems && ! awk '!/^#/ && $2 != 0 {v1 = 1} END {exit !v1}' /proc/cgroups; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    return
  fi
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  for name in $(awk '!/^#/ && $4 == 1 {print $1}' /proc/cgroups); do
    mkdir -p "/sys/fs/cgroup/$name"
    mount -t cgroup -o "$name" cgroup "/sys/fs/cgroup/$name" || rmdir "/sys/fs/cgroup/$name"
  done
}

start() { # DOCKERD_OPTION... ; true once the engine answers
  local pid
  rm -f "$dir/docker.sock" "$dir/dockerd.pid"
  setsid nohup unshare --net -- dockerd -H "$private" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/dockerd.pid" --bridge=none --iptables=false --ip6tables=false --ip-masq=false \
    --exec-opt native.cgroupdriver=cgroupfs "$@" >"$dir/dockerd.log" 2>&1 </dev/null 9>&- &
  pid=$!
  for _ in $(seq 150); do
    if answers "$private"; then return 0; fi
    kill -0 $pid 2>/dev/null || return 1
    sleep 0.2
  done
  kill $pid
  return 1
}

if [ -z "${SEGARENA_DOCKER_PRIVATE:-}" ]; then use_any_of "${DOCKER_HOST:-}" unix:///var/run/docker.sock; fi
use_any_of "$private"
if [ "$(id -u)" != 0 ]; then
  echo "start-docker.sh: no engine answers, and starting one needs root" >&2
  exit 1
fi
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
use_any_of "$private" # another process was faster
command -v dockerd >/dev/null || install_engine
mount_cgroups
# overlay2 is dockerd's own choice; where the root is an overlay itself (nested containers), only vfs works.
if ! start && ! start --storage-driver vfs; then
  echo "start-docker.sh: dockerd did not start; the end of $dir/dockerd.log:" >&2
  tail -n 5 "$dir/dockerd.log" >&2
  exit 1
fi
echo "DOCKER_HOST=$private"
