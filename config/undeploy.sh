#!/usr/bin/env bash
# What `make undeploy` does: takes the controller away from the current context, and the kinds where nothing of them is
# left. Nothing that the controller holds by a finalizer is ever asked to go without it, so nothing hangs.
set -euo pipefail
cd "$(dirname "$0")/.."
kubectl=${KUBECTL:-kubectl}
namespace=${NAMESPACE:-metal3-ipam-system}
ours=cluster.x-k8s.io/provider=ipam-metal3
ours_not=cluster.x-k8s.io/provider!=ipam-metal3
crds=(ipclaims.ipam.metal3.io ippools.ipam.metal3.io ipaddresses.ipam.metal3.io)

# Kinds that this cluster may have or not.
optional=(servicemonitors.monitoring.coreos.com prometheusrules.monitoring.coreos.com certificates.cert-manager.io
  issuers.cert-manager.io ipaddressclaims.ipam.cluster.x-k8s.io ipaddresses.ipam.cluster.x-k8s.io)

step() { echo "- $*"; }

# What cannot be read might be there, so nothing is taken away then.
blind() {
  echo "error: $* cannot be read, so nothing was taken away" >&2
  exit 1
}

is_known() { grep -qxF "customresourcedefinition.apiextensions.k8s.io/$1" <<<"$known"; }

# Namespace and name of each object of a kind; with a finalizer, of those that carry it.
objects() {
  local each='{{.metadata.namespace}} {{.metadata.name}}{{"\n"}}'
  [ $# -eq 1 ] || each='{{$object := .}}{{range .metadata.finalizers}}{{if eq . "'$2'"}}{{with $object}}'$each'{{end}}{{end}}{{end}}'
  ! is_known "$1" || "$kubectl" get "$1" -A -o go-template='{{range .items}}'"$each"'{{end}}'
}

# A row for each kind and namespace that still has some. Every failure is passed on: `set -e` does not reach in here.
left() {
  local kind
  for kind in "${crds[@]}"; do
    objects "$kind" | count "$kind" || return
  done
  objects ipaddressclaims.ipam.cluster.x-k8s.io ipam.metal3.io/ipaddressclaim | count ipaddressclaims.ipam.cluster.x-k8s.io || return
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

# What is in our namespace and neither ours nor what every namespace has.
others() {
  # Derived from our Services and Deployment, with their labels, and gone a moment later.
  local derived='^(endpoints|endpointslices\.discovery\.k8s\.io|pods|pods\.metrics\.k8s\.io|replicasets\.apps)$'
  local common='^(event(\.events\.k8s\.io)?/.*|serviceaccount/default|configmap/kube-root-ca\.crt|)$'
  local types all
  types=$("$kubectl" api-resources --verbs=list --namespaced -o name) || return
  # Our kinds may be listed a moment longer than they are there.
  [ -n "$held" ] || types=$(grep -v '\.ipam\.metal3\.io$' <<<"$types") || return
  all=$(present "$(grep -vE "$derived" <<<"$types")") || return
  all+=$'\n'$(present "$(grep -E "$derived" <<<"$types")" -l "$ours_not") || return
  grep -vE "$common" <<<"$all" || true
}

# The names of what our namespace has of these types.
present() {
  local types
  types=$(paste -sd, - <<<"$1")
  shift
  "$kubectl" -n "$namespace" get "$types" "$@" --ignore-not-found -o name
}

elsewhere=$(KUBECTL="$kubectl" config/elsewhere.sh "$namespace")
if [ -n "$elsewhere" ]; then
  echo "error: the controller is installed in namespace $elsewhere, not in $namespace" >&2
  echo "hint: \`make undeploy NAMESPACE=$elsewhere\` takes that one away" >&2
  exit 1
fi

echo "taking the controller from $("$kubectl" config current-context), namespace $namespace"
known=$("$kubectl" get crd "${crds[@]}" "${optional[@]}" --ignore-not-found -o name) || blind 'which kinds there are'
held=$(left) || blind 'what the controller holds'
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
  secret/ipam-webhook-service-cert secret/ipam-webhook-service-ca secret/ipam-metrics-reader \
  lease/controller-leader-election-ipam-capm3
place=$("$kubectl" get namespace "$namespace" --ignore-not-found \
  -o jsonpath='{.metadata.name}={.metadata.labels.cluster\.x-k8s\.io/provider}')
rest=$(others) || {
  echo "error: the controller is gone; namespace $namespace stays, as it cannot be told what is in it" >&2
  echo "hint: \`kubectl delete namespace $namespace\` deletes it, and all that is in it" >&2
  exit 1
}
if [ -n "$rest" ]; then
  printf 'namespace %s stays, as there is more in it:\n%s\n' "$namespace" "$rest"
elif [ "$place" = "$namespace=ipam-metal3" ]; then
  step 'the namespace'
  "$kubectl" delete namespace "$namespace" --ignore-not-found --wait --timeout=120s
elif [ -n "$place" ]; then
  echo "namespace $namespace stays, as \`make deploy\` has not made it"
fi
[ -z "$held" ] || echo 'the kinds and all objects of them are still there'
