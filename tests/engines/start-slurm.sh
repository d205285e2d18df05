#!/usr/bin/env bash
# Bring up a real Slurm on this machine: munged, slurmctld and two slurmd with a fake GPU each.
#
#   start-slurm.sh DIR        then: . DIR/env.sh      end it with: stop-slurm.sh DIR
#
# Needs neither systemd nor anything under /etc: all state lies in DIR, whose path must be short
# (unix sockets). PORT (default 17100) lets two of them live side by side. Without accounting, like
# many small sites; finished jobs are written to DIR/jobs.txt. Installs Debian's packages as root.
set -euo pipefail
dir=$(realpath -m "${1:?usage: start-slurm.sh DIR}")
port=${PORT:-17100} host=$(hostname -s)
[ ${#dir} -le 60 ] || { echo "start-slurm: use a shorter path than $dir" >&2; exit 2; }

if ! command -v slurmctld slurmd sbatch munged >/dev/null; then
  [ "$(id -u)" = 0 ] || { echo "start-slurm: install slurmctld slurmd slurm-client munge" >&2; exit 2; }
  # The packages' services must not start: there may be no systemd, and this cluster is a private one.
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d.segarena
  chmod +x /usr/sbin/policy-rc.d.segarena
  [ -e /usr/sbin/policy-rc.d ] || { mv /usr/sbin/policy-rc.d.segarena /usr/sbin/policy-rc.d; ours=1; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
  rm -f /usr/sbin/policy-rc.d.segarena ${ours:+/usr/sbin/policy-rc.d}
fi

mkdir -p "$dir"/{munge,log,pid,state,spool,gpu,cgroup,bin}
chmod 755 "$dir" "$dir/munge" # munged refuses folders that others may write to
[ -s "$dir/munge/key" ] || (umask 077; head -c 128 /dev/urandom >"$dir/munge/key")
# CUDA_VISIBLE_DEVICES is set only when the GPU's file is a device.
for node in n1 n2; do ln -sfn /dev/null "$dir/gpu/$node"; mkdir -p "$dir/spool/$node"; done
printf 'NodeName=%s Name=gpu Type=fake File=%s\n' n1 "$dir/gpu/n1" n2 "$dir/gpu/n2" >"$dir/gres.conf"
# slurmd 22.05 sets up cgroups even where none are used; version 1 with a dummy folder always works.
printf 'CgroupPlugin=cgroup/v1\nCgroupMountpoint=%s\nCgroupAutomount=no\n' "$dir/cgroup" >"$dir/cgroup.conf"
: >"$dir/plugstack.conf"
cat >"$dir/slurm.conf" <<CONF
ClusterName=segarena
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=10
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/pid/slurmctld
SlurmdPidFile=$dir/pid/slurmd.%n
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/%n.log
PlugStackConfig=$dir/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=1
KillWait=2
MinJobAge=300
GresTypes=gpu
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4 RealMemory=80000 Gres=gpu:fake:1
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 3)) CPUs=4 RealMemory=80000 Gres=gpu:fake:1
PartitionName=batch Nodes=n1,n2 Default=YES MaxTime=1-0 DefaultTime=10 DefMemPerCPU=100 LLN=YES
CONF
touch "$dir/jobs.txt"
# Snakemake's job step takes SLURM_* out of the environment before it calls srun; on a site the
# configuration lies in /etc/slurm, here this wrapper names it again.
printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$dir/slurm.conf" "$(PATH=/usr/local/bin:/usr/bin:/bin command -v srun)" >"$dir/bin/srun"
chmod +x "$dir/bin/srun"
printf 'export SLURM_CONF=%s PATH=%s:$PATH\n' "$dir/slurm.conf" "$dir/bin" >"$dir/env.sh"
. "$dir/env.sh"

munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --seed-file="$dir/munge/seed" \
  --pid-file="$dir/pid/munged" --log-file="$dir/log/munged.log"
slurmctld
slurmd -N n1
slurmd -N n2
while [ $SECONDS -lt 30 ]; do
  [ "$(timeout 2 sinfo -h -N -o %T 2>/dev/null | grep -c -x idle)" = 2 ] && exit 0
  sleep 0.2
done
echo "start-slurm: the nodes did not come up; see $dir/log" >&2
exit 1
