#!/usr/bin/env bash
# What `make image` does: the image $IMG, and the same as out/image.tar, from out/ipam-controller and out/sbom.cdx.json.
# ENGINE is docker, podman or buildah; without it the first that works here.
set -euo pipefail
cd "$(dirname "$0")/.."

works() {
  case $1 in
    docker | podman) "$1" info >/dev/null 2>&1 ;;
    buildah) buildah version >/dev/null 2>&1 ;;
  esac
}

engine() {
  local each
  for each in ${ENGINE:-docker podman buildah}; do
    ! works "$each" || { echo "$each"; return; }
  done
  echo "error: none of ${ENGINE:-docker, podman, buildah} works here" >&2
  exit 1
}

# What the image consists of.
lay_out() {
  rm -rf out/image
  mkdir -p out/image/root/usr/share/sbom
  install -m 0755 out/ipam-controller out/image/root/manager
  ln -s manager out/image/root/ipam-controller
  install -m 0644 LICENSE out/image/root/LICENSE
  install -m 0644 out/sbom.cdx.json out/image/root/usr/share/sbom/ipam-controller.cdx.json
}

revision=$(git describe --always --dirty --abbrev=40)
arguments=(--file Dockerfile --tag "$IMG" --build-arg "VERSION=$VERSION" --build-arg "REVISION=$revision" out/image)
engine=$(engine)
lay_out
echo "building $IMG with $engine"
rm -f out/image.tar
case $engine in
  docker)
    docker build "${arguments[@]}"
    docker save --output out/image.tar "$IMG"
    ;;
  podman)
    podman build --timestamp "$(git log -1 --format=%ct)" "${arguments[@]}"
    podman save --output out/image.tar "$IMG"
    ;;
  buildah)
    buildah build --timestamp "$(git log -1 --format=%ct)" "${arguments[@]}"
    buildah push "$IMG" "docker-archive:out/image.tar:$IMG"
    ;;
esac
config/image-check.sh out/image.tar
echo "$IMG is in $engine, and in out/image.tar for \`kind load image-archive\` or \`ctr -n k8s.io images import\`"
