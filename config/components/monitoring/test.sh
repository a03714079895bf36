#!/usr/bin/env bash
# Runs the unit tests of the alert rules with promtool: the one of PROMTOOL, else of PATH, else of the cache, else one
# that is built there once from pinned Go modules.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")"
VERSION=v0.316.0 # of the module: Prometheus 3.16.0
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/ipam-tools/promtool-$VERSION"

locate() {
  local found="${PROMTOOL:-$(command -v promtool || true)}"
  if [ -n "$found" ]; then echo "$found"; return; fi
  if [ ! -x "$CACHE/promtool" ]; then build >&2; fi
  echo "$CACHE/promtool"
}

build() {
  command -v go >/dev/null || {
    echo "error: the alert rules are tested with promtool, which is not there, and neither is Go to build it" >&2
    echo "hint: install Prometheus (Debian: apt-get install prometheus), or Go, or name a promtool in PROMTOOL" >&2
    exit 1
  }
  echo "building promtool $VERSION once, into $CACHE"
  workshop=$(mktemp -d)
  trap 'rm -rf "$workshop"' EXIT
  mkdir -p "$CACHE"
  # No service discovery: it is not used here, and most of what there is to compile.
  (
    cd "$workshop"
    export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=mod
    go mod init promtool.build >/dev/null 2>&1
    go get "github.com/prometheus/prometheus@$VERSION"
    go build -tags remove_all_sd -trimpath -ldflags "-s -w" -o "$CACHE/building" github.com/prometheus/prometheus/cmd/promtool
  )
  mv "$CACHE/building" "$CACHE/promtool"
}

tool=$(locate)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# promtool reads the rules as Prometheus does, without the operator's object around them.
sed '1,/^spec:$/d; s/^  //' alerts.yaml > "$folder/rules.yaml"
cp alerts_test.yaml "$folder/"
"$tool" check rules "$folder/rules.yaml"
"$tool" test rules "$folder/alerts_test.yaml"
