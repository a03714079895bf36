#!/usr/bin/env bash
# Builds the plugin for one target and packs it with its license: `pack.sh TARGET VERSION FOLDER`. Packing the same
# program twice gives the same archive.
set -euo pipefail
[ $# -eq 3 ] || { echo "usage: $0 TARGET VERSION FOLDER" >&2; exit 2; }
target=$1 version=$2 folder=$3
cd "$(dirname "$0")/../.."

case $target in
  x86_64-*-linux-*) platform=linux-amd64 ;;
  aarch64-*-linux-*) platform=linux-arm64 ;;
  x86_64-apple-darwin) platform=darwin-amd64 ;;
  aarch64-apple-darwin) platform=darwin-arm64 ;;
  *) echo "error: krew.yaml has no platform for $target" >&2; exit 1 ;;
esac

profile=${PROFILE:-release}
built="${CARGO_TARGET_DIR:-target}"
cross=()
# What is built for this machine shares its folder with everything else that is.
if [ "$target" != "$(rustc -vV | awk '/^host:/ { print $2 }')" ]; then
  cross=(--target "$target") built="$built/$target"
fi
built="$built/${profile/#dev/debug}"
"${CARGO:-cargo}" build --quiet --locked --profile "$profile" --package kubectl-ipam ${cross[@]+"${cross[@]}"}

content=$(mktemp -d)
trap 'rm -r "$content"' EXIT
install -m 755 "$built/kubectl-ipam" "$content/kubectl-ipam"
install -m 644 LICENSE "$content/LICENSE"
TZ=UTC touch -t 202001010000 "$content/kubectl-ipam" "$content/LICENSE"

mkdir -p "$folder"
archive="kubectl-ipam-$version-$platform.tar.gz"
# The options differ between the tars of Linux and macOS; what they do here is the same.
if tar --version | grep -q GNU; then owner=(--owner=0 --group=0 --numeric-owner); else owner=(--uid 0 --gid 0); fi
tar -C "$content" --format=ustar "${owner[@]}" -cf - LICENSE kubectl-ipam | gzip -n9 >"$folder/$archive"
cd "$folder"
if command -v sha256sum >/dev/null; then sha256sum "$archive"; else shasum -a 256 "$archive"; fi >"$archive.sha256"
echo "$folder/$archive"
