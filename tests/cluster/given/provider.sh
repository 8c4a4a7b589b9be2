# The provider `given`: the cluster that KUBECONFIG names, made by somebody else. Nothing here starts or stops it. Its nodes
# pull from REGISTRY, where images are pushed; there is no other way into them.
# shellcheck shell=bash
. "$HERE/docker.sh"
KUBECONFIG=${GIVEN:-$HOME/.kube/config}

provider_running() { kubectl --kubeconfig "$KUBECONFIG" --request-timeout=10s get --raw /readyz >/dev/null 2>&1; }
provider_up() {
  "$HERE/tools/build" client
  provider_running || die "the cluster of KUBECONFIG=$KUBECONFIG does not answer"
}
provider_down() { :; }
registry() {
  [ -n "${REGISTRY:-}" ] || die "a given cluster cannot be handed images: name a registry that it pulls from and you may push to (REGISTRY=registry.example/weft)"
}
provider_load() { # ARCHIVE: each of its images is pushed as REGISTRY/NAME:TAG
  registry
  docker_for build
  local image
  "$DOCKER" load -q -i "$1" | sed -n 's/^Loaded image: //p' | while read -r image; do
    "$DOCKER" tag "$image" "$REGISTRY/${image##*/}"
    "$DOCKER" push -q "$REGISTRY/${image##*/}"
  done
  if own_docker; then dockerd_down build; fi
}
