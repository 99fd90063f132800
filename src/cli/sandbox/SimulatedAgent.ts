/** A stand-in for `rudder`: answers `remote run [-D class,…] -- host` as an agent's run looks, some hosts with a will of their own. */

/** How the simulated agents behave, by host name. */
export const behaviours = [
  ["web1.example.com", "a run of some seconds"],
  ["web2.example.com", "the same"],
  ["web3.example.com", "the same"],
  ["db1.example.com", "repairs something"],
  ["db2.example.com", "the same as web1"],
  ["mail.example.com", "the same as web1"],
  ["build.example.com", "fails: a component is in error, return code 1"],
  ["backup.example.com", "slow: ten seconds"],
  ["attic.example.com", "hangs until its time-out"],
  ["proxy.example.com", "says something on stderr"],
  ["cache.example.com", "prints many lines"],
  ["edge.example.com", "ends at once: nothing to do"]
] as const

/** A POSIX shell script; it is given its arguments as the relay gives them to `rudder`, and sees no other input. */
export const script = `#!/bin/sh
# A simulated Rudder agent: "rudder remote run [-D class,...] -- host".
classes=""
[ "$1 $2" = "remote run" ] || { echo "usage: rudder remote run [-D class,...] -- host" >&2; exit 64; }
shift 2
if [ "$1" = "-D" ]; then classes=$2; shift 2; fi
[ "$1" = "--" ] && shift
host=$1

line() { printf 'E| %-13s %-25s %-25s %-18s %s\\n' "$1" "$2" "$3" "$4" "$5"; }

echo "Rudder agent 8.3.0"
echo "Node: $host"
[ -n "$classes" ] && echo "Conditions: $classes"
echo "Start execution with config [$(date +%Y%m%d-%H%M%S)]"
echo
echo "M| State         Technique                 Component                 Key                Message"

case "$host" in
  edge.*) exit 0 ;;
  attic.*) line compliant Inventory inventory "" "Next inventory scheduled"; sleep 1000 ;;
esac

sleep 0.5
line compliant Common Update "" "Policy is already up to date"
sleep 0.5
line compliant Common "CRON Daemon" "" "The CRON daemon is running"
case "$host" in
  db1.*) line repaired "SSH keys" "Authorized key" backup "SSH key of backup was added" ;;
  cache.*) i=0; while [ $i -lt 30 ]; do line compliant "Cache" "Object" "$i" "Object $i is in place"; i=$((i + 1)); done ;;
  proxy.*) echo "warning: certificate expires in 12 days" >&2 ;;
  backup.*) sleep 9 ;;
esac
sleep 0.7
line compliant "NTP settings" "Service running" chronyd "chronyd is running"

code=0
case "$host" in
  build.*) line error "Package management" "Package" compiler "Package compiler could not be installed"; code=1 ;;
esac
sleep 0.3
echo
echo "## Summary #####################################################################"
echo "=> $host ended with code $code"
exit $code
`
