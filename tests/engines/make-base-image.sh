#!/usr/bin/env bash
# Make a base image's layer from Debian packages and PyPI wheels: no engine, no image registry.
#   make-base-image.sh FOLDER tiny|numpy|scipy        prints the path of the layer, a .tar for docker_archive.py
# tiny: busybox alone. numpy: sh, bash, coreutils, Debian 12's python 3.11 and numpy. scipy: and scipy.
# NUMPY_SPEC and SCIPY_SPEC pin versions (NUMPY_SPEC=numpy==1.26.4). As root, byte code is compiled in, which more
# than halves the time of `import numpy`. The same packages give the same bytes; a layer that lies in FOLDER already
# is not made again, and a folder shared by processes is locked. The Debian mirror and the wheel index are this
# machine's own (apt's and pip's configuration).
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 FOLDER tiny|numpy|scipy" >&2; exit 2; }
folder=$(mkdir -p "$1" && cd "$1" && pwd)
kind=$2
suite=bookworm
wheels=()
packages=(dash bash coreutils sed grep findutils libc-bin python3-minimal libpython3-stdlib libstdc++6 zlib1g)
case $kind in
  tiny) packages=(busybox-static) ;;
  numpy) wheels=("${NUMPY_SPEC:-numpy}") ;;
  scipy) wheels=("${NUMPY_SPEC:-numpy}" "${SCIPY_SPEC:-scipy}") ;;
  *) echo "$0: no kind $kind; tiny, numpy or scipy" >&2; exit 2 ;;
esac
name=$(printf '%s-' "base-$kind" ${wheels[@]+"${wheels[@]}"} | tr -c 'a-z0-9.-' '_')
layer=$folder/${name%-}.tar
exec 9>"$folder/lock"
flock 9
if [ -s "$layer" ]; then echo "$layer"; exit; fi

# 1. Debian packages with their dependencies, as if nothing were installed
cache=$folder/packages
mkdir -p "$cache"/{lists/partial,archives/partial,none/partial}
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
  grep -v security | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$cache/sources.list"
: >"$cache/status"
apt=(apt-get -qq -y -o "Dir::Etc::sourcelist=$cache/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::State=$cache" -o "Dir::State::lists=$cache/lists" -o "Dir::State::status=$cache/status" -o "Dir::Cache=$cache"
  -o "Dir::Cache::archives=$cache/archives" -o APT::Sandbox::User= -o APT::Install-Recommends=0
  -o APT::Architecture=amd64 -o Acquire::Languages=none -o Debug::NoLocking=1 -o pkgCacheGen::Essential=none)
if ! ls "$cache"/lists/*Packages* >/dev/null 2>&1; then "${apt[@]}" update >&2; fi
# With an empty folder of archives the list is complete, whatever was downloaded before.
"${apt[@]}" -o "Dir::Cache::archives=$cache/none" --print-uris install "${packages[@]}" | cut -d ' ' -f 2 >"$cache/needed"
"${apt[@]}" --download-only install "${packages[@]}" >&2

# 2. the root file system
root=$(mktemp -d "$folder/.root.XXXXXX")
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},proc,sys,dev,tmp,root,etc,workspace}
for part in bin sbin lib lib64; do ln -s "usr/$part" "$root/$part"; done
chmod 1777 "$root/tmp"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
while read -r package; do
  dpkg-deb --fsys-tarfile "$cache/archives/$package" | tar -x -C "$root" --keep-directory-symlink --no-same-owner \
    --exclude='./usr/share/*' --exclude='./usr/lib/*/perl*' --exclude='./usr/lib/*/gconv' --exclude='./usr/bin/perl*' \
    --exclude='./var/lib/dpkg' --exclude=__pycache__
done <"$cache/needed"
if [ "$kind" = tiny ]; then
  for tool in $("$root/bin/busybox" --list); do
    if [ ! -e "$root/bin/$tool" ]; then ln -s busybox "$root/bin/$tool"; fi
  done
fi

# 3. wheels for the image's python, whatever python runs here
if [ ${#wheels[@]} -gt 0 ]; then
  site=$root/usr/lib/python3/dist-packages
  mkdir -p "$site"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --no-deps \
    --target "$site" --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_28_x86_64 "${wheels[@]}" >&2
  find "$site" -type d \( -name tests -o -name include \) -prune -exec rm -rf {} +
  find "$site" -name '*.a' -delete
  if [ "$(id -u)" = 0 ]; then
    PYTHONHASHSEED=0 chroot "$root" /usr/bin/python3 -m compileall -q --invalidation-mode unchecked-hash \
      /usr/lib/python3.11 /usr/lib/python3 >/dev/null 2>&1 || true # a few modules of the library are not for compiling
  fi
fi

tar -c -C "$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=gnu -f "$layer.part" .
mv "$layer.part" "$layer"
echo "$layer"
