#!/usr/bin/env bash
# What `make deploy` does: applies the manifests to the current context, and waits until pools can be made.
set -euo pipefail
cd "$(dirname "$0")/.."
kubectl=${KUBECTL:-kubectl}
namespace=${NAMESPACE:-metal3-ipam-system}
timeout=${TIMEOUT:-180}
webhooks=validatingwebhookconfiguration/ipam-validating-webhook-configuration

if [ -z "${IMG:-}" ]; then
  echo 'error: which image? IMG=registry/name:tag says it' >&2
  echo 'hint: `make image IMG=registry/name:tag` builds it; push it to where your nodes pull from' >&2
  exit 2
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
  echo "hint: \`kubectl -n $namespace logs deployment/ipam-controller-manager\` shows what it says itself" >&2
  exit 1
}

echo "applying to $("$kubectl" config current-context), namespace $namespace, image $IMG"
config/render.sh | "$kubectl" apply --server-side --force-conflicts --field-manager ipam-deploy -f -
"$kubectl" wait --for=condition=Established --timeout=60s crd \
  ippools.ipam.metal3.io ipclaims.ipam.metal3.io ipaddresses.ipam.metal3.io >/dev/null
"$kubectl" -n "$namespace" rollout status deployment/ipam-controller-manager --timeout="${timeout}s" || explain

# The API server refuses new pools until it trusts who judges them.
for ((second = 0; ; second++)); do
  bundle=$("$kubectl" get "$webhooks" -o jsonpath='{.webhooks[0].clientConfig.caBundle}')
  [ -z "$bundle" ] || break
  ((second < 60)) || { echo "error: $webhooks has no caBundle, so pools cannot be made" >&2; exit 1; }
  sleep 1
done
echo 'the controller is ready; next: kubectl ipam create-pool'
