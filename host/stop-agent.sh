#!/bin/bash
# How systemd ends the agent. Is the machine itself shutting down, then all of the host ends in order: PostgreSQL, the guard, the proxies
# (SIGUSR2); init would otherwise leave PostgreSQL to its last round of SIGTERM and SIGKILL. Else the agent alone ends (SIGTERM), and what
# runs on is adopted by the next one.
#
# usage: stop-agent.sh PID   (nothing to do where PID is empty: the agent has ended by itself)
# Returns when the agent is gone; the unit's TimeoutStopSec bounds that.
set -u
pid=${1-}
[[ $pid =~ ^[1-9][0-9]*$ ]] || exit 0
signal=TERM
[[ $(systemctl is-system-running 2>/dev/null) == stopping ]] && signal=USR2
kill -s "$signal" "$pid" 2>/dev/null || exit 0
while [[ -e /proc/$pid ]]; do sleep 0.1; done
