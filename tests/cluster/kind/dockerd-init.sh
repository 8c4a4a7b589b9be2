#!/bin/bash
# The first process of a Docker daemon's namespaces (docker.sh starts it): USE (build or kind), its folder, its data.
set -euo pipefail
USE=$1 DIR=$2 DATA=$3
HERE=$(dirname "$0")
flags=(--data-root "$DATA" --exec-root "$DIR/exec" --pidfile "$DIR/docker.pid" --host "unix://$DIR/docker.sock"
  --storage-driver overlay2 --cgroup-parent "weft-docker-$USE")

private_run() { # /run of its own, with the resolver's file kept
  cat /etc/resolv.conf >"$DIR/resolv.conf"
  [ "$USE" = build ] || : >"$DIR/resolv.conf" # else names would be asked outside
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/lock "$(dirname "$(readlink -m /etc/resolv.conf)")"
  touch "$(readlink -m /etc/resolv.conf)"
  mount --bind "$DIR/resolv.conf" /etc/resolv.conf
}
nowhere() { # somewhere for a default route to point to; it leads nowhere
  ip link set lo up
  ip link add null0 type bridge
  ip addr add 10.255.0.1/30 dev null0
  ip link set null0 up
  ip route add default dev null0
}
lacks_sys_resource() { ! ((0x$(sed -n 's/^CapEff:\s*//p' /proc/self/status) & 1 << 24)); }

rm -rf "$DIR/exec" "$DIR/docker.pid"
private_run
if [ "$USE" = build ]; then
  flags+=(--bridge none --iptables=false)
else
  nowhere
  if lacks_sys_resource; then
    flags+=(--add-runtime "nores=$HERE/runc-nores" --default-runtime nores)
  fi
fi
exec dockerd "${flags[@]}"
