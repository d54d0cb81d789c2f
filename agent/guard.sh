#!/bin/bash
# The guard: stops PostgreSQL by itself when the agent is killed, hung or stopped (invariant L3, as second hand). It is
# told absolute deadlines over a FIFO, in centiseconds of /proc/uptime (which counts suspension), and knows nothing
# else. It ignores a closed pipe: an agent that restarts in time writes to the same FIFO. No process is forked and no
# file of the data directory is read, so that it works when memory or process slots are short, or a disk hangs.
#
# usage: guard.sh FIFO DATA_DIRECTORY POSTGRES_PROGRAM
# lines: "deadline N" (kill everything at N), "none" (nothing to guard), "quit" (exit); all others are ignored
set -u
fifo=$1 data=$2 program=$3
# No lease lasts so long: a deadline farther off is two writers' lines run together, and would guard nothing.
longest_cs=60000
# TERM: init sends it to all at a shutdown, and PostgreSQL may outlive that round by a minute and a half.
trap '' HUP INT PIPE TERM
exec 3<>"$fifo" || exit 1
printf '%s\n' "$$" >"$fifo.pid"
deadline=none

now() { # centiseconds since boot, into $now
  local up rest
  read -r up rest </proc/uptime
  now=$((10#${up/./}))
}

is_ours() { # a server at work in the data directory; by name as well, for an upgrade replaces the program under it
  local name=
  [[ /proc/$1/cwd -ef $data ]] || return 1
  [[ /proc/$1/exe -ef $program ]] && return 0
  read -r name 2>/dev/null <"/proc/$1/comm"
  [[ $name == postgres || $name == postmaster ]]
}

kill_all() { # stop all, so that none forks or answers a death with a restart; kill all; again until none is found
  local round path found
  for ((round = 0; round < 50; round++)); do
    found=()
    for path in /proc/[0-9]*; do
      is_ours "${path#/proc/}" && found+=("${path#/proc/}")
    done
    ((${#found[@]} == 0)) && return 0
    kill -STOP "${found[@]}" 2>/dev/null
    kill -KILL "${found[@]}" 2>/dev/null
    read -r -t 0.005 -u 4 _ 2>/dev/null
  done
  return 1
}

arm() { # the deadline, when it is a number of sane size
  [[ $1 =~ ^[1-9][0-9]{0,14}$ ]] || return
  now
  (($1 <= now + longest_cs)) && deadline=$1
}

# A descriptor that never delivers anything: `read -t` on it is a sleep without a fork.
exec 4<><(:) || exit 1

while :; do
  verb='' value=''
  if [[ $deadline == none ]]; then
    read -r -u 3 verb value || continue
  else
    now
    left=$((deadline - now))
    if ((left <= 0)); then
      if kill_all; then outcome=done; else outcome=left-over; fi
      now
      printf '{"level":"warn","message":"guard killed postgresql","deadline_cs":%d,"now_cs":%d,"outcome":"%s"}\n' "$deadline" "$now" "$outcome"
      [[ $outcome == done ]] && deadline=none
      continue
    fi
    printf -v timeout '%d.%02d' $((left / 100)) $((left % 100))
    read -r -t "$timeout" -u 3 verb value || continue
  fi
  case $verb in
    deadline) arm "$value" ;;
    none) deadline=none ;;
    quit) exit 0 ;;
  esac
done
