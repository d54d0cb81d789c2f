#!/bin/bash
# Waits until this host's PostgreSQL has its first role, then runs the owner's script for that role, once in the life of the data volume:
# /etc/leasehold/init-primary or /etc/leasehold/init-standby, either of which may be missing. A script that fails is run again later.
set -u
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
etc=${LEASEHOLD_ETC:-/etc/leasehold}
folder=${LEASEHOLD_FOLDER:-/var/lib/leasehold}
mark=$folder/state/init-script-done
[[ -e $mark ]] && exit 0

until role=$("$here/leasehold-agent" serving 2>/dev/null); do sleep "${LEASEHOLD_INIT_PAUSE_S:-5}"; done

script=$etc/init-$role
if [[ -e $script ]]; then
  echo "leasehold: runs $script"
  "$script" || { code=$?; echo "leasehold: $script failed with exit code $code" >&2; exit 1; }
fi
printf '%s\n' "$role" >"$mark"
