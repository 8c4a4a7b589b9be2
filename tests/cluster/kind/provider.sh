# The provider `kind`: the real kind CLI. Where Docker works and public images can be pulled it is kind as everybody has it;
# else the node image is built here (node-image) and Docker is our own, without a way out (../docker.sh).
# shellcheck shell=bash
. "$HERE/docker.sh"
RUN=$STATE/kind
NAME=weft
KUBECONFIG=$RUN/kubeconfig
HOST_IF=weft-kind0 DOCKER_NET=10.211.0

# kind finds a running cluster by asking Docker: ours when it runs, else the machine's
provider_running() {
  [ -s "$KUBECONFIG" ] || return 1
  if [ -e "$RUN/own" ]; then ns_alive "$STATE/docker-kind"; fi
}

provider_up() {
  mkdir -p "$RUN"
  docker_for kind
  if own_docker; then
    touch "$RUN/own"
    link_docker
    delete # the daemon keeps its containers, so also the node of a cluster that ended without `down`
  fi
  node_image
  config >"$RUN/config.yaml"
  say "kind create cluster (about 40 s)"
  # shellcheck disable=SC2086 # no word, or two
  logged kind kind create cluster --name "$NAME" --kubeconfig "$KUBECONFIG" --config "$RUN/config.yaml" --wait 180s ${IMAGE:+--image $IMAGE}
  if own_docker; then answer_no_outside_names; fi
}

node_image() { # sets IMAGE: empty for kind's own default, which Docker pulls; else one built here
  IMAGE=${KIND_NODE_IMAGE:-}
  if [ -n "$IMAGE" ]; then return; fi
  if ! own_docker && need_public; then
    "$HERE/tools/build" client
    return
  fi
  "$HERE/tools/build" all
  IMAGE=weft.local/node:$(recipe kind/node-image kind/cni.yaml debian.sh tools/mkimage.py)-${TOOLS##*-}
  "$DOCKER" image inspect "$IMAGE" >/dev/null 2>&1 && return
  local archive
  archive=$("$HERE/kind/node-image" "$IMAGE")
  say "loading the node image into Docker"
  logged kind-node-load "$DOCKER" load -i "$archive"
}
need_public() { timeout 120 "$DOCKER" pull -q docker.io/library/debian:bookworm-slim >/dev/null 2>&1; }

config() {
  printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nname: %s\n' "$NAME"
  if own_docker; then # reached over the wire that link_docker makes
    printf 'networking: {apiServerAddress: %s.2, apiServerPort: 6443}\n' "$DOCKER_NET"
  fi
  # A changed ConfigMap reaches its pods within seconds, not a minute: rotations wait for every pod.
  printf 'kubeadmConfigPatches:\n- |\n  kind: KubeletConfiguration\n  syncFrequency: 10s\n'
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then # cgroup v1, which the kubelet refuses by default from 1.35 on
    printf '  failCgroupV1: false\n'
  fi
  if own_docker; then # without CAP_SYS_RESOURCE no process may lower its OOM score
    printf 'containerdConfigPatches:\n- |-\n  [plugins."io.containerd.grpc.v1.cri"]\n    restrict_oom_score_adj = true\n'
  fi
}

link_docker() {
  ip link del "$HOST_IF" 2>/dev/null || true
  link_to_host "$HOST_IF" "$DOCKER_NET" "$(cat "$DOCKER_DIR/pid")"
}

answer_no_outside_names() { # NXDOMAIN at once, as nothing outside can be asked
  kubectl -n kube-system get configmap coredns -o yaml | sed '/^ *forward \./,/^ *}/d' | kubectl apply -f - >/dev/null 2>&1
  kubectl -n kube-system rollout restart deploy/coredns >/dev/null
  kubectl -n kube-system rollout status deploy/coredns --timeout=120s >/dev/null
}

provider_load() {
  docker_for kind
  logged kind-load kind load image-archive "$1" --name "$NAME"
}

delete() { logged kind-delete kind delete cluster --name "$NAME" --kubeconfig "$KUBECONFIG"; }
provider_down() {
  if [ -e "$KUBECONFIG" ]; then
    if [ ! -e "$RUN/own" ] || ns_alive "$STATE/docker-kind"; then
      docker_for kind
      delete
    fi
  fi
  dockerd_down kind
  ip link del "$HOST_IF" 2>/dev/null || true
  rm -rf "$RUN"
}
