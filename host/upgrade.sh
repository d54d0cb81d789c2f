#!/bin/bash
# Brings another version of the agent onto this host, beside the one that runs, and goes back to that when the new one is not well. The
# agent restarts; PostgreSQL, the guard and the proxies run on. One host at a time, standbys first: see hosts.md.
#
# usage: upgrade.sh --key KEY --sha256 SUM    an object of the bucket that this host was installed from
# exit code: 0 the new version runs, 1 it does not and the old one does again (or nothing was changed), 2 wrong arguments
set -u
opt=${LEASEHOLD_OPT:-/opt/leasehold}
units=${LEASEHOLD_UNITS:-/etc/systemd/system}
etc=${LEASEHOLD_ETC:-/etc/leasehold}
patience=${LEASEHOLD_UPGRADE_PATIENCE_S:-60}
key='' sum=''
while (($# > 1)); do
  case $1 in
    --key) key=$2 ;;
    --sha256) sum=$2 ;;
    *) break ;;
  esac
  shift 2
done
if (($# > 0)) || [[ -z $key || ! $sum =~ ^[0-9a-f]{64}$ ]]; then
  echo 'usage: leasehold-agent upgrade --key KEY --sha256 SUM' >&2
  exit 2
fi
say() { echo "leasehold: $*"; }
fail() { echo "leasehold: $*" >&2; exit 1; }

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# One at a time: a second one would take the first one's new version for the old. It waits, for the first may be what a command left behind
# that was sent again.
exec 9>"$opt/.upgrade.lock" && flock --wait "${LEASEHOLD_UPGRADE_LOCK_S:-120}" 9 || fail 'another upgrade runs on this host'
old=$(readlink -f -- "$opt/current") && [[ -d $old ]] || fail "$opt/current names no version"

# Fails when this host does not do its part of the cluster's work. In which role is not compared: it may have changed meanwhile, rightly.
serving() { "$opt/current/bin/leasehold-agent" serving; }

switch_to() { # the units belong to the version
  local unit
  for unit in "$1"/systemd/*.service; do
    [[ -e $units/${unit##*/} || ${unit##*/} == leasehold-agent.service ]] || continue
    cp -- "$unit" "$units/${unit##*/}.new" && mv -- "$units/${unit##*/}.new" "$units/${unit##*/}" || return 1
  done
  sync -f -- "$opt" "$units" || return 1
  ln -sfn -- "$1" "$opt/current.new" && mv -T -- "$opt/current.new" "$opt/current" || return 1
  systemctl daemon-reload && systemctl restart leasehold-agent.service
}

well() { # within $patience, three times in a row: a process that dies at once is up for a moment too
  local end=$((SECONDS + patience)) good=0
  while ((SECONDS <= end)); do
    if systemctl is-active --quiet leasehold-agent.service && serving >/dev/null 2>&1; then
      ((++good >= 3)) && return 0
    else
      good=0
    fi
    sleep "${LEASEHOLD_UPGRADE_PAUSE_S:-1}"
  done
  return 1
}

# A host that does not serve is not touched, but for the way back: to a version that is here already, because this host has had it.
if ! before=$(serving); then
  grep -qsx -- "$sum" "$opt"/*/.sha256 || fail 'this host does not serve now: mend it first (leasehold-agent doctor)'
  before='nothing'
fi
new=$(LEASEHOLD_OPT=$opt LEASEHOLD_ETC=$etc python3 "$here/boot.py" --fetch "$key" "$sum") || fail "$key could not be brought here"
[[ $new == "$old" ]] && { say "${new##*/} runs already"; exit 0; }
(cd -- "$new" && sha256sum --quiet --check SHA256SUMS) || fail "$new is not as its SHA256SUMS say"
"$new/bin/leasehold-agent" check-config || fail "${new##*/} does not take this host's configuration"

say "${old##*/} serves as: $before; switching to ${new##*/}"
if switch_to "$new" && well; then
  # The one before is kept, to go back to by hand; older ones go.
  for version in "$opt"/*/; do
    version=$(readlink -f -- "$version")
    [[ -e $version/VERSION && $version != "$new" && $version != "$old" ]] && rm -rf -- "$version"
  done
  say "${new##*/} runs"
  exit 0
fi
say "${new##*/} is not well within $patience s: back to ${old##*/}" >&2
if switch_to "$old" && well; then
  fail "the upgrade was rolled back; journalctl -u leasehold-agent tells why"
fi
fail "the upgrade was rolled back, and ${old##*/} is not well either: leasehold-agent doctor"
