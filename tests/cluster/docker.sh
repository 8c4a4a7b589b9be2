# Which Docker builds images and which one kind runs in: the machine's own where it works; else, with root, Debian's
# dockerd in namespaces of its own, one for each use, because they want opposite things:
#   build  the machine's network, to fetch packages; no bridge, no iptables rules
#   kind   a network with no way out, in which Docker's bridges and rules may do as they like
# shellcheck shell=bash
docker_for() { # build | kind: sets DOCKER, and DOCKER_HOST when the daemon is ours
  export DOCKER_BUILDKIT=1
  DOCKER_DIR=$STATE/docker-$1
  if ! ns_alive "$DOCKER_DIR" && machine_docker; then return; fi
  is_root || die "no Docker that can build images works here (docker ps, docker buildx): start it, or run as root"
  command -v dockerd >/dev/null || debs docker.io
  debs iproute2 util-linux procps jq
  DOCKER=/usr/bin/docker
  can_build "$DOCKER" || die "$DOCKER builds no images: install Docker's buildx plugin (Debian: docker-buildx-plugin or docker-buildx)"
  export DOCKER_HOST=unix://$DOCKER_DIR/docker.sock
  ns_alive "$DOCKER_DIR" || dockerd_up "$1"
}
own_docker() { [ "${DOCKER_HOST:-}" = "unix://${DOCKER_DIR:-}/docker.sock" ]; }

machine_docker() {
  local c
  for c in docker /usr/bin/docker; do
    if timeout 20 "$c" ps -q >/dev/null 2>&1 && can_build "$c"; then
      DOCKER=$c
      return
    fi
  done
  return 1
}
can_build() { # newer clients build with a plugin only
  local major
  "$1" buildx version >/dev/null 2>&1 && return
  major=$("$1" --version 2>/dev/null | sed -n 's/^Docker version \([0-9]*\).*/\1/p')
  [ "${major:-99}" -lt 23 ]
}

dockerd_up() { # build | kind
  say "starting a Docker daemon of our own for: $1"
  mkdir -p "$DOCKER_DIR" "$CACHE/docker-$1"
  rm -f "$DOCKER_DIR/docker.sock"
  local flags=
  [ "$1" = build ] || flags=--net
  spawn_ns "$DOCKER_DIR" "$flags" "$HERE/kind/dockerd-init.sh" "$1" "$DOCKER_DIR" "$CACHE/docker-$1"
  wait_for 60 "$DOCKER" info || die "dockerd does not start: see $DOCKER_DIR/init.log"
}
dockerd_down() { # build | kind
  stop_ns "$STATE/docker-$1" 15
  rm -rf "$STATE/docker-$1"
  remove_cgroups "weft-docker-$1"
}
