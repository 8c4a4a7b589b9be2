#!/bin/bash
# The first process of the node's namespaces (provider.sh starts it): containerd, kubelet, kube-proxy, etcd and the
# control plane. They all end by its end: the kernel kills a pid namespace with its init.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/provider.sh"
set +e
PKI=$RUN/pki
ulimit -n "$(ulimit -Hn)"
hostname weft

own_places() { # this node's copies of the usual places, over whatever the machine has there
  mount --make-rshared /
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/lock /run/netns
  rm -rf "$RUN"/cni/* "$RUN"/pods/*
  mkdir -p "$RUN"/{kubelet,containers}
  bind containerd /var/lib/containerd
  bind kubelet /var/lib/kubelet
  bind cni /var/lib/cni
  bind cni-conf /etc/cni/net.d
  bind pods /var/log/pods
  bind containers /var/log/containers
  printf '127.0.0.1 localhost\n%s weft\n' "$API" >"$RUN/hosts" && mount --bind "$RUN/hosts" /etc/hosts
  printf 'search default.svc.cluster.local\n' >"$RUN/resolv.conf" # no DNS upstream, on purpose
}
bind() { mount --bind "$RUN/$1" "$2"; }

cgroup_root() { # the kubelet wants its root to exist, in every controller
  local c f
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # version 2
    mkdir -p /sys/fs/cgroup/weft-local
    for f in cpuset cpu io memory pids; do
      echo "+$f" >/sys/fs/cgroup/cgroup.subtree_control
      echo "+$f" >/sys/fs/cgroup/weft-local/cgroup.subtree_control
    done
    return
  fi
  for c in /sys/fs/cgroup/*/; do case $c in */unified/) ;; *) mkdir -p "$c/weft-local" ;; esac; done
  for f in cpuset.cpus cpuset.mems; do # an empty cpuset takes no process
    cat "/sys/fs/cgroup/cpuset/$f" >"/sys/fs/cgroup/cpuset/weft-local/$f"
  done
}

configs() {
  local f
  cp "$HERE/local/cni.json" /etc/cni/net.d/10-pods.conflist
  for f in containerd.toml kubelet.yaml kube-proxy.yaml; do
    sed "s#@RUN@#$RUN#; s#@PAUSE@#$PAUSE_IMAGE#; s#@DNS@#$DNS_IP#; s#@POD@#$POD_CIDR#" "$HERE/local/$f" >"$RUN/$f"
  done
}

keep() { # NAME COMMAND...: runs it, again whenever it ends
  local log=$RUN/log/$1.log
  shift
  (while :; do
    "$@" >>"$log" 2>&1
    echo "--- ended: $?" >>"$log"
    sleep 1
  done) &
}

control_plane() {
  local fast=(--leader-elect=false --kube-api-qps=500 --kube-api-burst=500)
  keep etcd etcd --data-dir "$RUN/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync --log-level warn
  keep kube-apiserver kube-apiserver --advertise-address="$API" --etcd-servers=http://127.0.0.1:2379 \
    --service-cluster-ip-range="$SVC_CIDR" --allow-privileged --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" --kubelet-client-key="$PKI/apiserver-kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra-
  keep kube-controller-manager kube-controller-manager --kubeconfig="$RUN/controller-manager.conf" "${fast[@]}" \
    --authentication-kubeconfig="$RUN/controller-manager.conf" --authorization-kubeconfig="$RUN/controller-manager.conf" \
    --root-ca-file="$PKI/ca.crt" --service-account-private-key-file="$PKI/sa.key" --use-service-account-credentials \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" --requestheader-client-ca-file="$PKI/front-proxy-ca.crt"
  keep kube-scheduler kube-scheduler --kubeconfig="$RUN/scheduler.conf" "${fast[@]}" \
    --authentication-kubeconfig="$RUN/scheduler.conf" --authorization-kubeconfig="$RUN/scheduler.conf"
}

node() {
  local f
  wait_for 60 ctr version
  for f in "$NODE_IMAGES"/*.tar; do ctr -n k8s.io images import "$f" >>"$RUN/log/import.log" 2>&1; done
  keep kubelet kubelet --config="$RUN/kubelet.yaml" --kubeconfig="$RUN/kubelet.conf" --hostname-override=weft --node-ip="$API"
  keep kube-proxy kube-proxy --config="$RUN/kube-proxy.yaml"
}

own_places
cgroup_root
configs
wait_for 30 test -e "$RUN/wired" || exit 1
keep containerd containerd -c "$RUN/containerd.toml"
control_plane
node
wait
