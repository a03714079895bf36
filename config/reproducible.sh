#!/usr/bin/env bash
# Builds the program of the last commit twice, each time from nothing and in a folder of another name, and fails unless
# both have the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
built=()
for folder in "$work/one" "$work/another/of-a-longer-name"; do
  git clone --quiet . "$folder"
  echo "building in $folder"
  CARGO_TARGET_DIR="$folder/target" "$folder/config/static.sh"
  rm -rf "$folder/target"
  built+=("$folder/out/ipam-controller")
done
cmp "${built[@]}" || {
  echo "error: two builds of one commit differ: something in them depends on the folder, the time or the order" >&2
  exit 1
}
echo "both builds have the same bytes"
