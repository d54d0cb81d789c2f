#!/bin/bash
# The guard: stops PostgreSQL by itself when the agent is killed, hung or stopped (invariant L3, as second hand). It is
# told absolute deadlines over a FIFO, in centiseconds of /proc/uptime (which counts suspension), and knows nothing
# else. It ignores a closed pipe: an agent that restarts in time writes to the same FIFO. No process is forked, so
# that it works when memory or process slots are short.
#
# usage: guard.sh FIFO DATA_DIRECTORY POSTGRES_PROGRAM
# lines: "deadline N" (kill everything at N), "none" (nothing to guard), "quit" (exit)
set -u
fifo=$1 data=$2 program=$3
trap '' HUP INT PIPE
exec 3<>"$fifo" || exit 1
printf '%s\n' "$$" >"$fifo.pid"
deadline=none

now() { # centiseconds since boot, into $now
  local up rest
  read -r up rest </proc/uptime
  now=$((10#${up/./}))
}

is_ours() { # the program, running on the data directory
  [[ /proc/$1/exe -ef $program && /proc/$1/cwd -ef $data ]]
}

postmaster() { # its pid into $postmaster, or empty
  postmaster=
  [[ -r $data/postmaster.pid ]] && read -r postmaster <"$data/postmaster.pid"
  [[ $postmaster =~ ^[0-9]+$ ]] || postmaster=
}

kill_all() { # stop the postmaster so that it cannot fork, kill the rest, then it; again until none is left
  local round path pid left
  for ((round = 0; round < 50; round++)); do
    left=0
    postmaster
    [[ -n $postmaster ]] && is_ours "$postmaster" && kill -STOP "$postmaster" 2>/dev/null
    for path in /proc/[0-9]*; do
      pid=${path#/proc/}
      [[ $pid != "$postmaster" ]] && is_ours "$pid" && kill -KILL "$pid" 2>/dev/null && left=1
    done
    [[ -n $postmaster ]] && is_ours "$postmaster" && kill -KILL "$postmaster" 2>/dev/null && left=1
    ((left == 0)) && return 0
    read -r -t 0.005 -u 4 _ 2>/dev/null
  done
  return 1
}

# A descriptor that never delivers anything: `read -t` on it is a sleep without a fork.
exec 4<><(:) || exit 1

while :; do
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
    deadline) [[ $value =~ ^[0-9]+$ ]] && deadline=$value ;;
    none) deadline=none ;;
    quit) exit 0 ;;
  esac
done
