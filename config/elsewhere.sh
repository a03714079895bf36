#!/usr/bin/env bash
# Prints the namespace that the controller is installed in, if it is in none but others than NAMESPACE: `elsewhere.sh NAMESPACE`.
# Its webhooks, roles and kinds are the cluster's: whoever installs or removes another takes them from that one.
set -euo pipefail
# Metal3's was a part of its infrastructure provider before it was a provider of its own, with the label of that one.
places=$("${KUBECTL:-kubectl}" get deployments -A -l 'cluster.x-k8s.io/provider in (ipam-metal3, infrastructure-metal3)' \
  -o go-template='{{range .items}}{{.metadata.namespace}} {{.metadata.name}}{{"\n"}}{{end}}')
places=$(awk '$2 ~ /(^|-)ipam-controller-manager$/ { print $1 }' <<<"$places")
grep -qxF "$1" <<<"$places" || printf '%s' "${places%%$'\n'*}"
