#!/usr/bin/env bash
# Draws the pictures beside this file from real runs: a control plane and a controller on this machine, and the plugin in
# a terminal.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v tmux >/dev/null || { echo "error: tmux is needed; your system has it as the package tmux" >&2; exit 1; }

state=$(mktemp -d)
export IPAM_TESTBED_DIR="$state/control-plane"
bin="$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug"
columns=132

terminal() { tmux -u -S "$state/terminal" -f /dev/null "$@"; }

end() {
  terminal kill-server 2>/dev/null || true
  [ -z "${controller:-}" ] || kill "$controller" 2>/dev/null || true
  "$bin/testbed" down
  rm -rf "$state"
}

start() {
  cargo build --quiet --workspace --bins
  cargo build --quiet --package kubectl-ipam --example picture
  trap end EXIT
  "$bin/testbed" up >/dev/null
  eval "$("$bin/testbed" env)"
  export PATH="$bin:$PATH"
  kubectl apply --server-side -k config/crd >/dev/null
  kubectl apply --server-side -f "$("$bin/testbed" crds-capi)/cluster.x-k8s.io_clusters.yaml" >/dev/null
  kubectl wait --for=condition=Established --timeout=60s crd ippools.ipam.metal3.io clusters.cluster.x-k8s.io >/dev/null
  # An address without its claim stays as long as the pictures need it.
  ipam-controller --kubeconfig "$KUBECONFIG" --health-addr 0 --diagnostics-address 0 --webhook-port 0 \
    --orphan-grace 3600 2>"$state/controller.log" &
  controller=$!
  echo "PS1='\$ '" >"$state/bashrc"
  LC_ALL=C.UTF-8 terminal new-session -d -x "$columns" -y 45 "bash --rcfile $state/bashrc"
  shows '^\$$'
}

# What the pictures show: a rack in use, one that is full, one whose Cluster is to come, and an address that leaked.
furnish() {
  kubectl ipam create-pool rack-1 --subnet 192.168.20.0/24 --gateway 192.168.20.1 --exclude 192.168.20.96/28 \
    --preallocate vip=192.168.20.10 --preallocate db=192.168.20.11 -q
  # Before the claims, which choose at random.
  kubectl apply -f examples/leak.yaml 2>/dev/null
  kubectl ipam create-pool edge --range 10.7.0.10-10.7.0.11 --prefix 24 --gateway 10.7.0.1 -q
  kubectl ipam create-pool v6 --subnet fd00:20::/64 -q
  kubectl ipam create-pool spare --subnet 192.168.40.0/26 --cluster spare -q
  kubectl ipam claim node --count 38 --pool rack-1 -q
  kubectl ipam claim vip --pool rack-1 -q
  kubectl ipam claim edge --count 2 --pool edge -q
  kubectl ipam claim host --count 4 --pool v6 -q
  kubectl ipam claim edge-3 --pool edge --wait=false -q
  kubectl wait --for=jsonpath='{.status.errorMessage}' --timeout=60s ipclaims.ipam.metal3.io/edge-3
}

# Waits until the screen shows a line.
shows() {
  for _ in $(seq 600); do
    if terminal capture-pane -p | grep -q -- "$1"; then return; fi
    sleep 0.1
  done
  echo "error: the terminal does not show \`$1\`:" >&2
  terminal capture-pane -p >&2
  exit 1
}

type_in() {
  terminal send-keys -l -- "$1"
  terminal send-keys Enter
}

# Types a command, and with $2 and so on what it asks and is answered.
run() {
  terminal send-keys -R \; clear-history
  terminal send-keys C-l
  shows '^\$$'
  type_in "$1"
  shift
  while [ $# -gt 0 ]; do
    shows "$1"
    # A question for yes or no wants one key.
    if [ "$2" = y ]; then terminal send-keys y; else type_in "$2"; fi
    shift 2
  done
  shows '^\$$'
}

# Draws the screen but for the prompt that waits.
draw() {
  terminal capture-pane -e -p | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' | sed '$d' | "$bin/examples/picture" "$columns" \
    >"docs/pictures/$1.svg"
  echo "docs/pictures/$1.svg"
}

start
furnish >/dev/null
run 'kubectl ipam create-pool' 'Name of the pool' rack-2 'Addresses' 192.168.20.64/26 'Gateway' 192.168.20.65 \
  'Cluster of the pool' '' 'Create the pool' y
draw create-pool
run 'kubectl ipam status'
draw status
run 'kubectl ipam map rack-1'
draw map
run 'kubectl ipam explain edge-3'
draw explain
run 'kubectl ipam check'
draw check
