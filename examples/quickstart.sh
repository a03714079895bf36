#!/usr/bin/env bash
# What `make quickstart` and `make quickstart-stop` do: a real control plane on this machine, the controller under its
# own account and role, a pool that waits for its Cluster, and a claim with its address.
set -euo pipefail
cd "$(dirname "$0")/.."

state="${XDG_CACHE_HOME:-$HOME/.cache}/ipam-quickstart"
export IPAM_TESTBED_DIR="$state/control-plane"
bin="$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug"
started=$SECONDS

step() { printf '[%3ds] %s\n' "$((SECONDS - started))" "$*"; }

# The controller that we started, if it still is that process.
controller_pid() {
  local pid start
  read -r pid start 2>/dev/null <"$state/controller.pid" || return 1
  [ "$(awk '{ print $22 }' "/proc/$pid/stat" 2>/dev/null)" = "$start" ] && echo "$pid"
}

commands() {
  cat <<TEXT

Next, in a shell of yours:
  eval "\$($bin/testbed --dir $IPAM_TESTBED_DIR env)" && export PATH="$bin:\$PATH"
  kubectl get ippools,ipclaims,m3ipaddresses
  kubectl ipam claim node-2 --pool demo
and when you have seen enough: make quickstart-stop
TEXT
}

build() {
  step "building the controller, the plugin and the test bed (once)"
  cargo build --quiet --workspace --bins
}

start_control_plane() {
  step "starting etcd, kube-apiserver and kube-controller-manager (built from source the first time, some minutes)"
  "$bin/testbed" up >/dev/null
  eval "$("$bin/testbed" env)"
  export PATH="$bin:$PATH"
}

install() {
  step "installing the kinds, Cluster API's Cluster, and the controller's account and role"
  kubectl create namespace metal3-ipam-system --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  kubectl apply --server-side -k config/crd >/dev/null
  kubectl apply --server-side -f "$("$bin/testbed" crds-capi)/cluster.x-k8s.io_clusters.yaml" >/dev/null
  kubectl apply -k config/rbac >/dev/null
  kubectl wait --for=condition=Established --timeout=60s crd ippools.ipam.metal3.io ipclaims.ipam.metal3.io \
    ipaddresses.ipam.metal3.io clusters.cluster.x-k8s.io >/dev/null
}

start_controller() {
  step "starting the controller under its own account"
  local kubeconfig="$state/controller.kubeconfig"
  kubectl config view --raw --minify >"$kubeconfig"
  local token
  token=$(kubectl -n metal3-ipam-system create token ipam-manager --duration=24h)
  kubectl --kubeconfig "$kubeconfig" config set-credentials ipam-manager --token="$token" >/dev/null
  kubectl --kubeconfig "$kubeconfig" config set-context --current --user=ipam-manager >/dev/null
  chmod 600 "$kubeconfig"
  # A leak can be looked at for ten minutes before the controller mends it.
  setsid "$bin/ipam-controller" --kubeconfig "$kubeconfig" --health-addr 0 --diagnostics-address 0 --webhook-port 0 \
    --orphan-grace 600 >"$state/controller.log" 2>&1 </dev/null &
  local pid=$!
  echo "$pid $(awk '{ print $22 }' "/proc/$pid/stat")" >"$state/controller.pid"
}

up() {
  mkdir -p "$state"
  if [ -x "$bin/testbed" ] && "$bin/testbed" status >/dev/null 2>&1 && controller_pid >/dev/null; then
    step "it runs already"
    commands
    return
  fi
  build
  start_control_plane
  install
  start_controller
  step "a pool that belongs to a Cluster which is not there yet"
  if ! kubectl get ippool demo >/dev/null 2>&1; then
    kubectl ipam create-pool demo --subnet 192.168.10.0/26 --gateway 192.168.10.1 --cluster demo
  fi
  step "the Cluster appears"
  kubectl apply -f examples/cluster.yaml
  kubectl wait --for=condition=Ready --timeout=60s ippool/demo
  step "a claim"
  if ! kubectl get ipclaim node-1 >/dev/null 2>&1; then
    kubectl ipam claim node-1 --pool demo
  fi
  # The pool counts once a second; what is shown next should not be older than the claim.
  kubectl wait --for=jsonpath='{.status.availableIPCount}'=60 ippool/demo --timeout=30s >/dev/null
  step "done"
  kubectl get ippools,ipclaims,m3ipaddresses
  commands
}

down() {
  local pid
  if pid=$(controller_pid); then
    kill "$pid"
    # It finishes what it is writing first.
    tail --pid="$pid" -f /dev/null
    step "the controller has ended"
  fi
  if [ -x "$bin/testbed" ]; then
    "$bin/testbed" down
  fi
  rm -rf "$state"
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  *) echo "usage: $0 up|down" >&2; exit 2 ;;
esac
