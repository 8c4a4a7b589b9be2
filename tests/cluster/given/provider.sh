# The provider `given`: the cluster that KUBECONFIG names, made by somebody else. Nothing here starts or stops it. Its nodes
# pull from REGISTRY, where images are pushed; there is no other way into them.
# shellcheck shell=bash
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
  "$HERE/images/push" "$1"
}
