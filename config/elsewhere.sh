#!/usr/bin/env bash
# Prints the namespace that the controller is installed in, if it is in none but others than NAMESPACE: `elsewhere.sh NAMESPACE`.
# Its webhooks, roles and kinds are the cluster's: whoever installs or removes another takes them from that one.
set -euo pipefail
places=$("${KUBECTL:-kubectl}" get deployments -A -l cluster.x-k8s.io/provider=ipam-metal3 \
  -o go-template='{{range .items}}{{.metadata.namespace}}{{"\n"}}{{end}}')
grep -qxF "$1" <<<"$places" || printf '%s' "${places%%$'\n'*}"
