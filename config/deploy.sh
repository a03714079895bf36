#!/usr/bin/env bash
# What `make deploy` does: applies the manifests to the current context, and waits until pools can be made.
set -euo pipefail
cd "$(dirname "$0")/.."
kubectl=${KUBECTL:-kubectl}
namespace=${NAMESPACE:-metal3-ipam-system}
timeout=${TIMEOUT:-180}
webhooks=(validatingwebhookconfiguration/ipam-validating-webhook-configuration
  mutatingwebhookconfiguration/ipam-mutating-webhook-configuration)

if [ -z "${IMG:-}" ]; then
  echo 'error: which image? IMG=registry/name:tag says it' >&2
  echo 'hint: `make image IMG=registry/name:tag` builds it; push it to where your nodes pull from' >&2
  exit 2
fi

# The rules of the kinds ask for functions that older ones do not have there, and would be refused one by one.
minor=$("$kubectl" get --raw /version | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p')
if [ "${minor:-31}" -lt 31 ]; then
  echo "error: this is Kubernetes 1.$minor, and the kinds need 1.31 or newer; nothing was applied" >&2
  echo 'hint: upgrade the cluster, or look whether the current context is the one that you mean' >&2
  exit 1
fi

elsewhere=$(KUBECTL="$kubectl" config/elsewhere.sh "$namespace")
if [ -n "$elsewhere" ]; then
  echo "error: a controller is installed in namespace $elsewhere, and this would be a second one, in $namespace" >&2
  echo "hint: NAMESPACE=$elsewhere upgrades that one; \`make undeploy NAMESPACE=$elsewhere\` takes it away before it moves" >&2
  echo 'hint: Metal3'"'"'s controller: docs/migrating-from-metal3.md; several controllers side by side: docs/scaling.md' >&2
  exit 1
fi

# What somebody needs to know whose controller does not start.
explain() {
  echo "error: the controller is not ready within $timeout s" >&2
  "$kubectl" -n "$namespace" get pods -l control-plane=controller-manager -o wide >&2
  "$kubectl" -n "$namespace" get events --field-selector type=Warning --sort-by .lastTimestamp 2>&1 | tail -5 >&2
  echo "hint: \`kubectl -n $namespace logs -l control-plane=controller-manager --prefix\` shows what it says itself" >&2
  exit 1
}

# A namespace that is there and not ours is somebody's, with labels of theirs: Pod Security's among them.
place=$("$kubectl" get namespace "$namespace" --ignore-not-found \
  -o jsonpath='{.metadata.name}={.metadata.labels.cluster\.x-k8s\.io/provider}')
case $place in
  '' | *=ipam-metal3) bring_namespace=1 ;;
  *)
    bring_namespace=0
    echo "namespace $namespace is there already, and stays as it is"
    ;;
esac

# cert-manager would put its authority where the controller puts its own, each in turn.
annotated=$("$kubectl" get "${webhooks[@]}" --ignore-not-found \
  -o jsonpath='{range .items[*]}{.metadata.annotations.cert-manager\.io/inject-ca-from}{end}')
if [ -n "$annotated" ] && [[ " ${COMPONENTS:-} " != *' cert-manager '* ]]; then
  echo 'error: the webhook configurations carry the annotation cert-manager.io/inject-ca-from of another installation, so' >&2
  echo 'error: cert-manager takes from them the authority that the controller puts there; nothing was applied' >&2
  echo "hint: \`kubectl annotate ${webhooks[*]} cert-manager.io/inject-ca-from-\` takes it off; then deploy again" >&2
  echo 'hint: COMPONENTS=cert-manager leaves the certificates of admission to cert-manager' >&2
  exit 1
fi

echo "applying to $("$kubectl" config current-context), namespace $namespace, image $IMG"
# As whoever applies what `kubectl ipam install` prints: what a later version leaves out goes only where one manager had it.
BRING_NAMESPACE=$bring_namespace config/render.sh |
  "$kubectl" apply --server-side --force-conflicts -f -
"$kubectl" wait --for=condition=Established --timeout=60s crd \
  ippools.ipam.metal3.io ipclaims.ipam.metal3.io ipaddresses.ipam.metal3.io >/dev/null
"$kubectl" -n "$namespace" rollout status deployment/ipam-controller-manager --timeout="${timeout}s" || explain

limit=$((SECONDS + timeout))
# A pool that admission alone refuses: whoever is told so by it knows that the API server asks it, and trusts it.
trial() {
  "$kubectl" -n "$namespace" create --dry-run=server -f - 2>&1 <<'POOL'
apiVersion: ipam.metal3.io/v1alpha1
kind: IPPool
metadata:
  name: trial-of-admission
spec:
  namePrefix: trial-of-admission
  preAllocations:
    nobody: 192.0.2.1
POOL
}
until said=$(trial) || true; [[ $said == *'out of bonds of the pools given'* ]]; do
  ((SECONDS < limit)) || {
    echo "error: pools cannot be made yet, as admission does not judge them; of a pool that it has to refuse it is said:" >&2
    echo "  ${said:-nothing}" >&2
    echo "hint: docs/troubleshooting.md#the-webhook-refuses-or-times-out" >&2
    exit 1
  }
  sleep 1
done
echo 'the controller is ready; next: kubectl ipam create-pool'
