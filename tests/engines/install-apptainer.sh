#!/usr/bin/env bash
# Install a real Apptainer on Debian, as root, from the mirror that apt is set up with.
#
# Only Debian's unstable suite has it, linked against a newer libc than a stable Debian's. There the
# package is packed anew with that libc beside it, which leaves the system's own alone. apt's own
# sources are not touched. Remove it with: apt-get purge apptainer
set -euo pipefail
apptainer version 2>/dev/null && exit 0
[ "$(id -u)" = 0 ] || { echo "install-apptainer: needs root" >&2; exit 2; }
export DEBIAN_FRONTEND=noninteractive
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"

from() { # from SUITE ARGUMENTS: apt-get that knows that suite alone
  local suite=$1 state=$work/$1
  shift
  local own=(-qq -o Dir::Etc::sourcelist="$state/list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" -o APT::Sandbox::User=root)
  if [ ! -d "$state" ]; then
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/list"
    apt-get "${own[@]}" update
  fi
  apt-get "${own[@]}" "$@"
}

from sid download apptainer
package=$(echo apptainer_*.deb)
needed=$(dpkg-deb -f "$package" Depends | sed -n 's/.*libc6 (>= \([0-9.]*\)).*/\1/p')
apt-get -qq update
if dpkg --compare-versions "$(dpkg-query -W -f '${Version}' libc6)" lt "${needed:-0}"; then
  apt-get -qq install -y --no-install-recommends patchelf >/dev/null
  from trixie download libc6
  dpkg-deb -R "$package" tree
  dpkg-deb -x libc6_*.deb libc
  place=/usr/lib/apptainer-libc
  mkdir -p "tree$place"
  cp -aL "$(dirname "$(find libc -name libc.so.6 | head -n 1)")"/*.so* "tree$place/"
  cp -aL "$(find libc -name ld-linux-x86-64.so.2 | head -n 1)" "tree$place/" 2>/dev/null || true
  find tree/usr -type f -perm /111 | while read -r file; do
    # Only what is linked dynamically has an interpreter to be set.
    patchelf --print-interpreter "$file" >/dev/null 2>&1 || continue
    patchelf --set-interpreter "$place/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$place" "$file"
  done
  sed -i 's/libc6 (>= [0-9.]*)/libc6/; s/^Version: .*/&+ownlibc/' tree/DEBIAN/control
  rm -f tree/DEBIAN/md5sums
  package=apptainer-ownlibc.deb
  dpkg-deb -Zgzip -z1 -b tree "$package" >/dev/null
fi
apt-get -qq install -y --no-install-recommends "./$package" squashfuse fuse-overlayfs >/dev/null
apptainer version
