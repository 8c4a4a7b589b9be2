# The provider `local`: one node of plain processes (containerd, kubelet, etcd, ...) in namespaces of their own. It starts
# in ten seconds, dies with one process, and leaves the machine's iptables and /run alone. Nothing in it has a way out.
# shellcheck shell=bash disable=SC2034 # read by node-init.sh and the front script
RUN=$STATE/local
HOST_IF=weft-local0 NODE_NET=10.210.0 POD_CIDR=10.244.0.0/16 SVC_CIDR=10.96.0.0/16 DNS_IP=10.96.0.10
API=$NODE_NET.2
KUBECONFIG=$RUN/kubeconfig
MOUNT_POINTS=(/var/lib/containerd /var/lib/kubelet /var/lib/cni /etc/cni/net.d /var/log/pods /var/log/containers)

provider_running() { ns_alive "$RUN"; }

provider_up() {
  is_root || die "CLUSTER=local needs root (it makes namespaces and mounts); CLUSTER=kind needs only Docker"
  debs containerd runc containernetworking-plugins iptables iproute2 conntrack util-linux procps
  "$HERE/tools/build" all
  mkdir -p "$RUN"/{pki,log,containerd,kubelet,cni,cni-conf,pods}
  rm -rf "$RUN"/{etcd,kubelet,wired} "$RUN/log"/*
  base_images
  credentials
  made_mount_points
  spawn_ns "$RUN" "--net --uts --ipc" "$HERE/local/node-init.sh"
  wire
  say "node started"
  wait_for 120 kubectl get --raw /readyz || die "no API server: see $RUN/log"
  say "API server ready"
  kubectl create clusterrolebinding kubeadm:cluster-admins --clusterrole=cluster-admin --group=kubeadm:cluster-admins >/dev/null
  sed "s/@DNS@/$DNS_IP/; s/@API@/$API/" "$HERE/local/coredns.yaml" | kubectl apply -f - >/dev/null
  wait_for 60 kubectl get node weft || die "the kubelet does not register: see $RUN/log/kubelet.log"
  kubectl wait --for=condition=Ready node/weft --timeout=120s >/dev/null
  kubectl -n kube-system rollout status deploy/coredns --timeout=120s >/dev/null
}

base_images() { # the two that the node itself needs
  local img=("$HERE/tools/mkimage.py") dir=$NODE_IMAGES
  [ ! -e "$dir/coredns.tar" ] || return 0
  mkdir -p "$dir"
  "${img[@]}" "$dir/pause.tar" "$PAUSE_IMAGE" --add "$TOOLS/bin/pause:/pause" --entrypoint /pause
  "${img[@]}" "$dir/coredns.tar" weft.local/coredns:1 --add "$TOOLS/bin/coredns:/coredns" --entrypoint /coredns
}

credentials() { # by kubeadm's own phases; kept between runs
  [ ! -e "$RUN/kubelet.conf" ] || return 0
  sed "s#@API@#$API#; s#@K8S@#$K8S_VERSION#; s#@PKI@#$RUN/pki#; s#@SVC@#$SVC_CIDR#; s#@POD@#$POD_CIDR#" \
    "$HERE/local/kubeadm.yaml" >"$RUN/kubeadm.yaml"
  logged kubeadm credential_files
}
credential_files() {
  local c in=(--config "$RUN/kubeadm.yaml") to=(--config "$RUN/kubeadm.yaml" --kubeconfig-dir "$RUN")
  kubeadm init phase certs all "${in[@]}"
  for c in super-admin controller-manager scheduler; do kubeadm init phase kubeconfig "$c" "${to[@]}"; done
  mv "$RUN/super-admin.conf" "$KUBECONFIG"
  kubeadm kubeconfig user --client-name system:kube-proxy "${in[@]}" >"$RUN/kube-proxy.conf"
  kubeadm kubeconfig user --client-name system:node:weft --org system:nodes "${in[@]}" >"$RUN/kubelet.conf"
}

made_mount_points() { # the machine's own folders are only mounted over; those that were not there go again
  local d
  : >>"$RUN/made"
  for d in "${MOUNT_POINTS[@]}"; do [ -d "$d" ] || { mkdir -p "$d" && echo "$d" >>"$RUN/made"; }; done
}

wire() {
  ip link del "$HOST_IF" 2>/dev/null || true
  link_to_host "$HOST_IF" "$NODE_NET" "$(cat "$RUN/pid")"
  # the node's own packets to Services need a route to get as far as kube-proxy's NAT
  nsenter --net="/proc/$(cat "$RUN/pid")/ns/net" sh -c "sysctl -qw net.ipv4.ip_forward=1 && ip route add $SVC_CIDR dev eth0"
  ip route replace "$POD_CIDR" via "$API" dev "$HOST_IF"
  ip route replace "$SVC_CIDR" via "$API" dev "$HOST_IF"
  touch "$RUN/wired" # node-init.sh goes on
}

provider_load() { in_node ctr -n k8s.io images import "$1" >/dev/null; }
in_node() { nsenter -t "$(cat "$RUN/pid")" --mount --pid --net --uts --ipc "$@"; }

provider_down() {
  stop_ns "$RUN" 1
  ip link del "$HOST_IF" 2>/dev/null || true # its routes go with it
  remove_cgroups weft-local
  if [ -e "$RUN/made" ]; then xargs -r rmdir -p --ignore-fail-on-non-empty <"$RUN/made" 2>/dev/null || true; fi
  rm -f "$RUN/made" "$RUN/wired"
}
