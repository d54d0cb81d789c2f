#!/bin/bash
# Boots a root folder with its own systemd as the first process of a PID namespace, with mounts, cgroups, IPC and host name of its own; the
# network is this machine's, for the trial's services are on loopback. Returns when that system has shut down.
#
# usage, as root: boot-systemd.sh ROOT CGROUP DEVICE [MOUNT]   DEVICE is visible to it; it is mounted at MOUNT beforehand, as fstab would do
# (systemd leaves devices of fstab alone where it finds itself in a container)
set -eu
root=$1 cgroup=$2 device=$3 place=${4-}
mkdir -p -- "$cgroup"
echo $$ >"$cgroup/cgroup.procs"
export root device place
exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --propagation private /bin/bash -euc '
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for name in null zero full random urandom tty "${device#/dev/}"; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  mkdir "$root/dev/shm" "$root/dev/pts"
  mount -t tmpfs tmpfs "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  [[ -z $place ]] || mount -o noatime "$device" "$root$place"
  hostname trial
  cd "$root"
  mkdir -p old-root
  pivot_root . old-root
  umount -l /old-root
  exec env -i container=leasehold PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console --show-status=no </dev/null
'
