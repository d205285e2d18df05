#!/usr/bin/env bash
# Install Podman with the monitor, runtime and init that it needs, from Debian, as root.
set -euo pipefail
podman version --format '{{.Client.Version}}' 2>/dev/null && command -v catatonit >/dev/null && exit 0
[ "$(id -u)" = 0 ] || { echo "install-podman: needs root" >&2; exit 2; }
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends podman runc catatonit >/dev/null
podman version --format '{{.Client.Version}}'
