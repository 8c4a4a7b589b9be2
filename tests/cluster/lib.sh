# Settings and small functions for every script under tests/cluster; they source this file.
# shellcheck shell=bash disable=SC2034 # settings are for those who source it
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)

K8S_VERSION=v1.35.4 KIND_VERSION=v0.33.0 # etcd, CoreDNS and Helm: tools/go.mod
PAUSE_IMAGE=registry.k8s.io/pause:3.10
CACHE=${WEFT_CACHE:-$HOME/.cache/weft} # all that is made and kept, outside the checkout
STATE=$CACHE/state                     # of what runs now: clusters, Docker daemons, the demo
LOGS=$CACHE/logs
mkdir -p "$STATE" "$LOGS"

T0=${T0:-$(date +%s)}
export T0
say() { printf '%4ds  %s\n' "$(($(date +%s) - T0))" "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
is_root() { [ "$(id -u)" = 0 ]; }

recipe() { # FILE...: a hash of their contents, the key of what they make
  (cd "$HERE" && find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
}
TOOLS=$CACHE/tools-$(recipe tools/build tools/go.mod tools/go.sum tools/hyperkube tools/coredns)
NODE_IMAGES=$CACHE/node-images-${TOOLS##*-}-$(recipe tools/mkimage.py) # the images that a node needs before any other
export PATH=$ROOT/.venv/bin:$TOOLS/bin:$PATH:$CACHE/uv/bin

logged() { # NAME COMMAND...: its output goes to a log file, whose end is shown when it fails
  local log=$LOGS/$1.log status
  shift
  set +e # neither || nor if: in their reach bash would not stop a function at its first failing command
  (set -e; "$@") >"$log" 2>&1
  status=$?
  set -e
  [ $status = 0 ] && return
  tail -20 "$log" >&2
  die "failed: $* (log: $log)"
}

pullable() { # PROVIDER MANIFEST: a given cluster has the images under REGISTRY, others by the names they have here
  sed "s#ghcr.io/weft-mesh/#$([ "$1" = given ] && echo "$REGISTRY/" || echo ghcr.io/weft-mesh/)#" "$2"
}

need() { # COMMAND...: must be there; only said, for what this project cannot install
  local c
  for c in "$@"; do command -v "$c" >/dev/null || die "$c is missing: install it, then run this again"; done
}

debs() { # PACKAGE...: installed now, or one line that says how
  local p missing=()
  if ! command -v dpkg-query >/dev/null; then
    say "not Debian: what these packages hold must be there already: $*"
    return
  fi
  for p in "$@"; do dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
  [ ${#missing[@]} != 0 ] || return 0
  if ! is_root || ! command -v apt-get >/dev/null; then die "these packages are missing, as Debian calls them: ${missing[*]}"; fi
  say "installing Debian packages: ${missing[*]}"
  logged apt apt_install "${missing[@]}"
}
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }
}

wait_for() { # SECONDS COMMAND...: until it succeeds
  local end=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# --- process trees in namespaces of their own: they end, whole, with their first process
spawn_ns() { # FOLDER "UNSHARE FLAGS" COMMAND...: leaves FOLDER/pid, the tree's first process as seen from here
  local d=$1 flags=$2
  shift 2
  # shellcheck disable=SC2086 # flags are several words
  setsid unshare --mount --propagation private --pid --fork --kill-child --mount-proc $flags "$@" </dev/null >"$d/init.log" 2>&1 9>&- &
  local outer=$!
  wait_for 10 pgrep -P "$outer" || { tail -5 "$d/init.log" >&2; die "$1 did not start"; }
  pgrep -P "$outer" >"$d/pid"
}
ns_alive() { [ -s "$1/pid" ] && [ -d "/proc/$(cat "$1/pid")" ] && [ "$(readlink "/proc/$(cat "$1/pid")/ns/pid_for_children")" != "$(readlink /proc/self/ns/pid)" ]; }
stop_ns() { # FOLDER: asked to end, then ended
  if ns_alive "$1"; then
    local p
    p=$(cat "$1/pid")
    kill -TERM "$p"
    wait_for "${2:-10}" test ! -d "/proc/$p" || kill -KILL "$p"
    wait_for 10 test ! -d "/proc/$p" || die "process $p does not end"
  fi
  rm -f "$1/pid"
}
remove_cgroups() { # NAME: the cgroups under that name, in every controller
  local left
  for _ in $(seq 30); do
    left=$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$1")
    [ -n "$left" ] || return 0
    # shellcheck disable=SC2086 # one folder a word
    find $left -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.2
  done
}
link_to_host() { # HOST-NAME NET PID: a wire from here (NET.1) into that process' network (eth0, NET.2)
  nsenter --net="/proc/$3/ns/net" ip link set lo up
  ip link add "$1" type veth peer name eth0 netns "$3"
  nsenter --net="/proc/$3/ns/net" sh -c "ip addr add $2.2/24 dev eth0 && ip link set eth0 up"
  ip addr add "$2.1/24" dev "$1" && ip link set "$1" up
}
