#!/bin/sh
# unit.sh start|stop|restart|reload: what systemd does with rudder-relay.service, as far as that can be done without it: the
# environment, the user, the capabilities, and the file systems of the unit's own words.
set -eu
unit=/usr/lib/systemd/system/rudder-relay.service
words() { sed -n "s/^$1=//p" "$unit"; }

start() {
  : > /run/notified
  set -a
  eval "$(words Environment)"
  [ ! -e /etc/default/rudder-relay ] || . /etc/default/rudder-relay
  NOTIFY_SOCKET=/run/notify
  set +a
  drop=$(words CapabilityBoundingSet | tr -d '~\n' | sed 's/CAP_/ -/g' | tr ' ' '\n' | grep -- - | tr 'A-Z' 'a-z' | paste -sd,)
  ambient=$(words AmbientCapabilities | sed 's/CAP_/+/' | tr 'A-Z' 'a-z')
  isolate=
  if [ "${ISOLATED:-}" = yes ]; then
    isolate='mount --make-rprivate /
      for path in '$(words ReadWritePaths | tr ' ' '\n' | sed 's/^-//' | tr '\n' ' ')'; do
        if [ -e "$path" ]; then mount --bind "$path" "$path"; fi
      done
      mount -o remount,bind,ro /
      mount -o remount,bind,ro /run
      mount -t tmpfs tmpfs /tmp
      umask '$(words UMask)
  fi
  line=$(words ExecStart | sed "s|\${RELAY_FOLDER}|$RELAY_FOLDER|")
  cd /
  ${isolate:+unshare -m} sh -ec "$isolate
    exec setpriv --reuid=$(words User) --regid=$(words Group) --init-groups --bounding-set=$drop --inh-caps=$ambient --ambient-caps=$ambient $line" \
    >> /run/journal 2>&1 < /dev/null &
  echo $! > /run/main-pid
  until grep -q READY=1 /run/notified; do
    kill -0 "$(cat /run/main-pid)" || { cat /run/journal; exit 1; }
    sleep 0.05
  done
}

stop() {
  [ -e /run/main-pid ] || return 0
  pid=$(cat /run/main-pid)
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  rm -f /run/main-pid
}

case $1 in
  start) start ;;
  stop) stop ;;
  restart) stop; start ;;
  reload) kill -HUP "$(cat /run/main-pid)" ;;
esac
