#!/usr/bin/env bash
# Installs the packed plugin with a real krew, in a folder of its own, and runs it through kubectl:
# `krew_check.sh KREW FOLDER VERSION`.
set -euo pipefail
[ $# -eq 3 ] || { echo "usage: $0 KREW FOLDER VERSION" >&2; exit 2; }
krew=$1 folder=$2 version=$3
KREW_ROOT=$(mktemp -d)
export KREW_ROOT
trap 'rm -rf "$KREW_ROOT"' EXIT

archive=$(ls "$folder/kubectl-ipam-$version-$(go env GOOS)-$(go env GOARCH).tar.gz")
"$krew" install --manifest="$folder/krew.yaml" --archive="$archive" </dev/null
said=$(PATH="$KREW_ROOT/bin:$PATH" "${KUBECTL:-kubectl}" ipam version --client)
[ "$said" = "client       ${version#v}" ] || { echo "error: kubectl ipam says: $said" >&2; exit 1; }
[ -f "$KREW_ROOT/store/ipam/$version/LICENSE" ] || { echo "error: the license is not installed" >&2; exit 1; }
echo "krew installs ipam $version, and kubectl runs it"
