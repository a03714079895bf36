#!/usr/bin/env bash
# Prints the namespace that the controller is installed in, if it is in none but others than NAMESPACE: `elsewhere.sh NAMESPACE`.
# Its webhooks, roles and kinds are the cluster's: whoever installs or removes another takes them from that one. Metal3's was
# a part of its infrastructure provider before it was a provider of its own: where it is so still, "NAMESPACE old".
set -euo pipefail
found=$("${KUBECTL:-kubectl}" get deployments -A -l 'cluster.x-k8s.io/provider in (ipam-metal3, infrastructure-metal3)' \
  -o go-template='{{range .items}}{{.metadata.namespace}} {{.metadata.name}} {{index .metadata.labels "cluster.x-k8s.io/provider"}}{{"\n"}}{{end}}')
old=$(awk '$3 == "infrastructure-metal3" && $2 ~ /(^|-)ipam-controller-manager$/ { print $1 " old"; exit }' <<<"$found")
places=$(awk '$3 == "ipam-metal3" { print $1 }' <<<"$found")
if [ -n "$old" ]; then
  printf '%s' "$old"
else
  grep -qxF "$1" <<<"$places" || printf '%s' "${places%%$'\n'*}"
fi
