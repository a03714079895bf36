#!/usr/bin/env bash
# What `make undeploy` does: takes the controller away from the current context, and the kinds where nothing of them is
# left. Nothing that the controller holds by a finalizer is ever asked to go without it, so nothing hangs.
set -euo pipefail
cd "$(dirname "$0")/.."
kubectl=${KUBECTL:-kubectl}
namespace=${NAMESPACE:-metal3-ipam-system}
ours=cluster.x-k8s.io/provider=ipam-metal3
crds=(ipclaims.ipam.metal3.io ippools.ipam.metal3.io ipaddresses.ipam.metal3.io)

step() { echo "- $*"; }

is_known() { [ -n "$("$kubectl" get crd "$1" --ignore-not-found -o name)" ]; }

# Namespace and name of each object of a kind; with a finalizer, of those that carry it.
objects() {
  local each='{{.metadata.namespace}} {{.metadata.name}}{{"\n"}}'
  [ $# -eq 1 ] || each='{{$object := .}}{{range .metadata.finalizers}}{{if eq . "'$2'"}}{{with $object}}'$each'{{end}}{{end}}{{end}}'
  ! is_known "$1" || "$kubectl" get "$1" -A -o go-template='{{range .items}}'"$each"'{{end}}'
}

# A row for each kind and namespace that still has some.
left() {
  local kind
  for kind in "${crds[@]}"; do
    objects "$kind" | count "$kind"
  done
  objects ipaddressclaims.ipam.cluster.x-k8s.io ipam.metal3.io/ipaddressclaim | count ipaddressclaims.ipam.cluster.x-k8s.io
  objects ipaddresses.ipam.cluster.x-k8s.io ipam.metal3.io/ipaddress | count ipaddresses.ipam.cluster.x-k8s.io
}

count() {
  awk -v kind="$1" '{ many[$1]++; if (many[$1] <= 3) some[$1] = some[$1] " " $2 }
    END { for (n in many) printf "  %6d %s in namespace %s:%s%s\n", many[n], kind, n, some[n], (many[n] > 3 ? " …" : "") }'
}

# Takes away what carries our label, of these types, as far as they are known here.
take() {
  local type
  for type in "$@"; do
    [[ $type != *.*.* ]] || is_known "$type" || continue
    local scope=(-n "$namespace")
    case $type in cluster* | *webhookconfigurations) scope=() ;; esac
    "$kubectl" ${scope[@]+"${scope[@]}"} delete "$type" -l "$ours" --ignore-not-found --wait --timeout=120s --cascade=foreground \
      2> >(grep -v '^No resources found' >&2 || true)
  done
}

# What is in our namespace and not ours.
others() {
  "$kubectl" -n "$namespace" get deployments,statefulsets,daemonsets,jobs,cronjobs,pods -o name
  objects ippools.ipam.metal3.io | awk -v n="$namespace" '$1 == n { print "ippool/" $2 }'
}

elsewhere=$(KUBECTL="$kubectl" config/elsewhere.sh "$namespace")
if [ -n "$elsewhere" ]; then
  echo "error: the controller is installed in namespace $elsewhere, not in $namespace" >&2
  echo "hint: \`make undeploy NAMESPACE=$elsewhere\` takes that one away" >&2
  exit 1
fi

echo "taking the controller from $("$kubectl" config current-context), namespace $namespace"
held=$(left)
if [ -n "$held" ]; then
  printf 'These are still there:\n%s\n' "$held"
  if [ "${FORCE:-}" != 1 ]; then
    echo 'error: without the controller none of them can be deleted' >&2
    echo 'hint: `kubectl ipam delete-pool --release-claims` gives everything of a pool back' >&2
    echo 'hint: FORCE=1 takes the controller away all the same. They, their addresses and the kinds stay as they are, and who' >&2
    echo 'hint: deletes one waits until there is a controller again' >&2
    exit 1
  fi
fi

step 'admission, so that nothing is refused any more'
take validatingwebhookconfigurations mutatingwebhookconfigurations
if [ -z "$held" ]; then
  # The controller is there still: it lets go of what was made a moment ago.
  step 'the kinds'
  "$kubectl" delete crd "${crds[@]}" --ignore-not-found --wait --timeout=120s
fi
step 'the controller'
take deployments
"$kubectl" -n "$namespace" wait --for=delete pod -l "$ours" --timeout=60s 2>/dev/null || true
step 'its account, roles and Services'
take services poddisruptionbudgets networkpolicies servicemonitors.monitoring.coreos.com \
  prometheusrules.monitoring.coreos.com certificates.cert-manager.io issuers.cert-manager.io configmaps \
  rolebindings roles serviceaccounts clusterrolebindings clusterroles
"$kubectl" -n "$namespace" delete --ignore-not-found secret/ipam-webhook-certificate \
  secret/ipam-webhook-service-cert lease/controller-leader-election-ipam-capm3
rest=$(others)
if [ -n "$rest" ]; then
  printf 'namespace %s stays, as there is more in it:\n%s\n' "$namespace" "$rest"
else
  step 'the namespace'
  "$kubectl" delete namespace "$namespace" --ignore-not-found --wait --timeout=120s
fi
[ -z "$held" ] || echo 'the kinds and all objects of them are still there'
