#!/bin/bash
# Asks the agent of this host to carry out one action and prints its transcript; the last line is the result, as JSON. Run
# Command's way into the agent, in bash because it is on the path of every hand-over: starting Node costs a tenth of a second.
#
# usage: run-action.sh CONTROL_FILE OPERATION ACTION
# exit code: 0 the action succeeded, 1 it failed or no agent answers, 2 wrong arguments
set -u
if (($# != 3)); then
  echo 'usage: run-action.sh CONTROL_FILE OPERATION ACTION' >&2
  exit 2
fi
no_agent() {
  echo 'leasehold-agent: no agent answers on this host' >&2
  exit 1
}
{ read -r port && read -r token; } 2>/dev/null <"$1" || no_agent
{ exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || no_agent
printf '%s %s %s\n' "$token" "$2" "$3" >&3 || no_agent
last=
while IFS= read -r line <&3; do
  case $line in
    '> '*) printf '%s\n' "${line#> }" ;;
    *) last=$line ;;
  esac
done
[[ -n $last ]] || no_agent
printf '%s\n' "$last"
[[ $last == '{"ok":true'* ]]
