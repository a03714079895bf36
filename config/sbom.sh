#!/usr/bin/env bash
# Writes what the controller is built of, as CycloneDX, to out/sbom.cdx.json: the same for the same sources.
set -euo pipefail
cd "$(dirname "$0")/.."
name=sbom.cdx
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
# It writes one beside each Cargo.toml of the workspace.
trap 'rm -f "$name.json" plugin/"$name.json" testbed/"$name.json"' EXIT
"$CYCLONEDX" cyclonedx --quiet --quiet --format json --spec-version 1.5 --all --no-build-deps \
  --target "$(uname -m)-unknown-linux-gnu" --override-filename "$name"
mkdir -p out
sed "s|file://$PWD|file:///src|g" "$name.json" >out/sbom.cdx.json
echo "out/sbom.cdx.json: $(grep -c '"purl"' out/sbom.cdx.json) components"
