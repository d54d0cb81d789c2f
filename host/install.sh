#!/bin/bash
# Makes this machine a host of a Leasehold cluster: PostgreSQL or the proxies from the distribution's packages, the data volume, the user,
# the configuration, the unit. Runs at the first boot and may be run again at any time: what is there already is left as it is. It never makes a
# file system where there is anything else than zeros, and never changes one that is there.
#
# usage: install.sh PARAMETERS      lines `name base64`, see infra/host-user-data.ts
# The folders can be set by LEASEHOLD_OPT, LEASEHOLD_ETC, LEASEHOLD_FOLDER, LEASEHOLD_UNITS and LEASEHOLD_BY_ID, for a trial.
set -u
umask 022
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
parameters_file=${1-}
opt=${LEASEHOLD_OPT:-/opt/leasehold}
etc=${LEASEHOLD_ETC:-/etc/leasehold}
folder=${LEASEHOLD_FOLDER:-/var/lib/leasehold}
units=${LEASEHOLD_UNITS:-/etc/systemd/system}
by_id=${LEASEHOLD_BY_ID:-/dev/disk/by-id}
fstab=${LEASEHOLD_FSTAB:-/etc/fstab}
# An attachment may come minutes after the instance.
volume_patience_s=${LEASEHOLD_VOLUME_PATIENCE_S:-300}
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")") || exit 1

say() { echo "leasehold: $*"; }
fail() { echo "leasehold: $*" >&2; exit 1; }

[[ -r $parameters_file ]] || fail "usage: install.sh PARAMETERS"
declare -A given=()
while read -r name value _; do
  [[ $name =~ ^[A-Za-z][A-Za-z0-9_.]*$ ]] && given[$name]=$(base64 -d <<<"$value")
done <"$parameters_file"
role=${given[role]-}
[[ $role == database || $role == proxy ]] || fail "the parameter role was '$role'; it takes database or proxy"
major=${given[postgres.major]-}
[[ $role == proxy || $major =~ ^1[4-8]$ ]] || fail "the parameter postgres.major was '$major'; it takes 14 to 18"

# --- the distribution ---------------------------------------------------------------------------------------------------------------
find_family() {
  # shellcheck disable=SC1091
  . /etc/os-release || fail 'there is no /etc/os-release'
  case " ${ID-} ${ID_LIKE-} " in
    *' amzn '*) family=amazon ;;
    *' debian '* | *' ubuntu '*) family=debian ;;
    *' rhel '* | *' centos '* | *' fedora '*) family=rhel ;;
    *) fail "${PRETTY_NAME-this system} is none of Debian, Ubuntu, RHEL and Amazon Linux, or like one" ;;
  esac
  release=${VERSION_ID%%.*}
  [[ $family == amazon && $release == 2 ]] && fail 'Amazon Linux 2 has no PostgreSQL that is supported; take Amazon Linux 2023'
  say "${PRETTY_NAME-$ID} (family $family)"
}

try() { "$@" || fail "failed: $*"; }
apt_install() { DEBIAN_FRONTEND=noninteractive try apt-get install -y -q --no-install-recommends "$@"; }

# The distribution's own services never run: an old primary would open at the next boot, or hold the port. Masked before the packages come,
# because some start their service while they are installed.
mask_services() {
  local name
  mkdir -p -- "$units"
  for name in postgresql postgresql@ "postgresql-$major" haproxy pgbouncer; do
    [[ $name == *- ]] && continue
    if [[ -f $units/$name.service && ! -L $units/$name.service ]]; then
      fail "$units/$name.service is there: remove it, the agent starts PostgreSQL and the proxies"
    fi
    ln -sfn /dev/null "$units/$name.service"
  done
}

install_debian() {
  local wait=(-o DPkg::Lock::Timeout=300)
  try apt-get update -q "${wait[@]}"
  if [[ $role == proxy ]]; then
    apt_install "${wait[@]}" haproxy pgbouncer procps util-linux
    return
  fi
  # Before the server's package: it would make a cluster of its own.
  mkdir -p /etc/postgresql-common
  grep -qs '^create_main_cluster = false' /etc/postgresql-common/createcluster.conf ||
    echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
  apt_install "${wait[@]}" -o Dpkg::Options::=--force-confold postgresql-common ca-certificates e2fsprogs util-linux
  if ! apt-cache show "postgresql-$major" >/dev/null 2>&1; then
    say "the distribution has no PostgreSQL $major: adds PostgreSQL's own repository"
    try /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
  fi
  apt_install "${wait[@]}" "postgresql-$major"
}

install_rhel() {
  local pgdg="https://download.postgresql.org/pub/repos/yum/reporpms/EL-$release-$(uname -m)/pgdg-redhat-repo-latest.noarch.rpm"
  rpm -q pgdg-redhat-repo >/dev/null 2>&1 || try dnf install -y "$pgdg"
  if [[ $role == proxy ]]; then
    try dnf install -y haproxy pgbouncer
    return
  fi
  # A module of the distribution's hides PostgreSQL's own packages; newer releases have no modules.
  dnf -qy module disable postgresql >/dev/null 2>&1
  try dnf install -y "postgresql$major-server" "postgresql$major-contrib" e2fsprogs
}

install_amazon() {
  if [[ $role == proxy ]]; then
    try dnf install -y haproxy pgbouncer
    return
  fi
  try dnf install -y "postgresql$major-server" "postgresql$major-contrib" e2fsprogs
}

# --- the data volume ----------------------------------------------------------------------------------------------------------------
find_device() { # the volume's device, into $device; $1: vol-...
  local name=nvme-Amazon_Elastic_Block_Store_${1/-/} end=$((SECONDS + volume_patience_s))
  [[ $1 =~ ^vol-[0-9a-f]+$ ]] || fail "the parameter postgres.dataVolumeId was '$1'; it takes vol-..."
  until [[ -e $by_id/$name ]]; do
    ((SECONDS < end)) || fail "the volume $1 was not attached within $volume_patience_s s: there is no $by_id/$name"
    sleep 1
  done
  device=$(readlink -f -- "$by_id/$name")
}

# A file system, or anything else that blkid knows (a partition table, a RAID), or bytes that it does not know: none of these is empty.
is_empty() {
  local code
  blkid -p -- "$1" >/dev/null 2>&1
  code=$?
  # 2: nothing was found. 0: something, 8: several things, 4 and more: it could not be read.
  ((code == 2)) || return 1
  cmp -s -n $((16 * 1024 * 1024)) -- "$1" /dev/zero
}

mount_volume() {
  local volume=${given[postgres.dataVolumeId]-} type uuid
  [[ -n $volume ]] || { say "no data volume is named: $folder stays where it is"; return; }
  find_device "$volume"
  type=$(blkid -p -o value -s TYPE -- "$device" 2>/dev/null)
  if [[ -z $type ]]; then
    is_empty "$device" || fail "$device ($volume) has no file system that can be used and is not empty: nothing was changed"
    say "makes a file system on $device ($volume), which is empty"
    # 1 % is for root alone: what the agent notes there must find room when PostgreSQL has filled the disk.
    try mkfs.ext4 -q -m 1 -L leasehold "$device"
    type=ext4
  fi
  [[ $type == ext4 || $type == xfs ]] || fail "$device ($volume) has a file system of type $type; ext4 and xfs are used"
  uuid=$(blkid -p -o value -s UUID -- "$device") && [[ -n $uuid ]] || fail "$device has no UUID"
  mkdir -p -- "$folder"
  if mountpoint -q -- "$folder"; then
    [[ $(findmnt -n -o UUID -- "$folder") == "$uuid" ]] || fail "something else than $volume is mounted at $folder"
  else
    [[ -z $(ls -A -- "$folder") ]] || fail "$folder is not empty and $volume is not mounted there: move what is in it away"
    ! awk -v place="$folder" -v source="UUID=$uuid" '$2 == place && $1 != source { found = 1 } END { exit !found }' "$fstab" 2>/dev/null ||
      fail "$fstab names another volume for $folder: remove that line if it is gone for good"
    # Without the volume the machine still boots, and can be looked at; the agent does not start.
    grep -qs "^UUID=$uuid " "$fstab" ||
      echo "UUID=$uuid $folder $type defaults,noatime,nofail,x-systemd.device-timeout=120 0 2" >>"$fstab"
    try mount -o noatime -- "UUID=$uuid" "$folder"
  fi
  say "$volume ($device) is mounted at $folder"
}

# --- the host -----------------------------------------------------------------------------------------------------------------------
make_user() {
  user=leasehold
  [[ $role == database ]] && user=postgres
  id -- "$user" >/dev/null 2>&1 || try useradd --system --user-group --home-dir "$folder" --shell /usr/sbin/nologin "$user"
}

make_folders() {
  mkdir -p -- "$folder" && chown 0:0 -- "$folder" && chmod 755 -- "$folder" || fail "$folder could not be made"
  [[ $role == database ]] || return 0
  local owner
  if owner=$(stat -c %u -- "$folder/data/pgdata" 2>/dev/null) && [[ $owner != "$(id -u -- "$user")" ]]; then
    fail "$folder/data/pgdata belongs to the user $owner, and $user is $(id -u -- "$user") here: make them one (usermod -u), or chown -R it"
  fi
  mkdir -p -- "$folder/data" && chown "$user:" -- "$folder/data" && chmod 755 -- "$folder/data" || fail "$folder/data could not be made"
}

write_init_scripts() {
  local role_name parameter
  for role_name in primary standby; do
    parameter=postgres.initScript
    [[ $role_name == standby ]] && parameter=postgres.replicaInitScript
    rm -f -- "$etc/init-$role_name"
    [[ -n ${given[$parameter]-} ]] || continue
    (umask 077; printf '%s\n' "${given[$parameter]}" >"$etc/init-$role_name") && chmod 700 -- "$etc/init-$role_name" ||
      fail "$etc/init-$role_name could not be written"
    has_init_script=yes
  done
}

# PostgreSQL and the guard keep their logs open: the file is copied and emptied.
write_logrotate() {
  mkdir -p /etc/logrotate.d
  printf '%s/log/*.log {\n  su root root\n  size 100M\n  rotate 4\n  copytruncate\n  missingok\n  notifempty\n  compress\n}\n' "$folder" >/etc/logrotate.d/leasehold
}

install_units() {
  local enabled=(leasehold-agent.service)
  try cp -- "$here/systemd/leasehold-agent.service" "$units/"
  if [[ -n $has_init_script ]]; then
    try cp -- "$here/systemd/leasehold-init.service" "$units/"
    enabled+=(leasehold-init.service)
  fi
  mkdir -p -- "$units/leasehold-agent.service.d"
  rm -f -- "$units/leasehold-agent.service.d/volume.conf"
  if [[ -n ${given[postgres.dataVolumeId]-} ]]; then
    printf '[Unit]\nAssertPathIsMountPoint=%s\n' "$folder" >"$units/leasehold-agent.service.d/volume.conf"
  fi
  if [[ ! -d /run/systemd/system ]]; then
    try systemctl --root=/ enable -q "${enabled[@]}"
    say 'systemd does not run here, as where an image is made: the agent starts with the next boot'
    return
  fi
  try systemctl daemon-reload
  try systemctl enable -q "${enabled[@]}"
  try systemctl start --no-block "${enabled[@]}"
}

has_init_script=''
# Read by a test, for its functions.
[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0
mkdir -p -- "$etc" || fail "$etc could not be made"
find_family
mask_services
"install_$family"
mount_volume
make_user
make_folders
write_init_scripts
write_logrotate
mkdir -p -- "$opt" /usr/local/bin
# A second boot must not undo an upgrade: `current` is left when it names a version that is there.
[[ -x $opt/current/bin/leasehold-agent ]] || try ln -sfn -- "$here" "$opt/current"
here=$(readlink -f -- "$opt/current")
try ln -sfn -- "$opt/current/bin/leasehold-agent" /usr/local/bin/leasehold-agent
LEASEHOLD_CONFIG="$etc/host.json" try "$here/bin/leasehold-agent" configure --parameters "$parameters_file" --folder "$folder" --user "$user"
install_units
say "$(cat -- "$here/VERSION") is installed: $role ${given[node]-} of ${given[cluster]-}"
