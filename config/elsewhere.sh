#!/usr/bin/env bash
# Prints the namespace that the controller is installed in, if it is in none but others than NAMESPACE: `elsewhere.sh NAMESPACE`.
# Its webhooks, roles and kinds are the cluster's: whoever installs or removes another takes them from that one. Fails where
# Metal3's is there from before it was a provider of its own, with the label of the infrastructure provider.
set -euo pipefail
found=$("${KUBECTL:-kubectl}" get deployments -A -l 'cluster.x-k8s.io/provider in (ipam-metal3, infrastructure-metal3)' \
  -o go-template='{{range .items}}{{.metadata.namespace}} {{.metadata.name}} {{index .metadata.labels "cluster.x-k8s.io/provider"}}{{"\n"}}{{end}}')
old=$(awk '$3 == "infrastructure-metal3" && $2 ~ /(^|-)ipam-controller-manager$/ { print $1; exit }' <<<"$found")
if [ -n "$old" ]; then
  echo "error: an old release of Metal3's controller is installed in namespace $old, and uses the same kinds and webhooks" >&2
  echo 'hint: docs/migrating-from-metal3.md says how to remove it' >&2
  exit 1
fi
places=$(awk '$3 == "ipam-metal3" { print $1 }' <<<"$found")
grep -qxF "$1" <<<"$places" || printf '%s' "${places%%$'\n'*}"
