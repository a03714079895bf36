#!/usr/bin/env bash
# Builds the controller as one static file, out/ipam-controller: the same bytes wherever the same sources and the same
# toolchain are.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(uname -s)" = Linux ] || { echo "error: the image is built on Linux, and this is $(uname -s)" >&2; exit 1; }
triple="$(uname -m)-unknown-linux-gnu"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# No path of this machine gets into the file.
export RUSTFLAGS="-C target-feature=+crt-static \
  --remap-path-prefix=$PWD=/src --remap-path-prefix=$target=/target \
  --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
"${CARGO:-cargo}" build --locked --release --target "$triple" --bin ipam-controller
mkdir -p out
cp "$target/$triple/release/ipam-controller" out/ipam-controller
sha256sum out/ipam-controller
