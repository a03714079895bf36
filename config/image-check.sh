#!/usr/bin/env bash
# Holds an image, as an archive of docker, podman or buildah, against what it is to be: these files and no others, owned by
# root and changed by nobody, a static program, a user without rights, and small.
set -euo pipefail
archive=$1
most=20000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# is WHAT FOUND WANTED
is() {
  [ "$2" = "$3" ] || { printf 'error: %s is\n%s\nand not\n%s\n' "$1" "$2" "$3" >&2; status=1; }
}

# The first value of a member with this name in a JSON text that is read.
member() { tr -d ' \n' | grep -o "\"$1\":\(\"[^\"]*\"\|\[[^]]*\]\)" | head -1 | cut -d: -f2-; }

tar -xf "$archive" -C "$work"
config=$(member Config <"$work/manifest.json" | tr -d '"')
layers=$(member Layers <"$work/manifest.json" | tr -d '[]"' | tr , ' ')
mkdir "$work/root"
for layer in $layers; do
  tar -tvf "$work/$layer" --numeric-owner | awk '{ print $1, $2, $6 $7 $8 }' >>"$work/list"
  tar -xf "$work/$layer" -C "$work/root"
done

is 'what is in it' "$(awk '{ sub("/$", "", $3); sub("^[.]?/", "", $3); if ($3 != "") print }' "$work/list" | sort -k3)" \
  '-rw-r--r-- 0/0 LICENSE
lrwxrwxrwx 0/0 ipam-controller->manager
-rwxr-xr-x 0/0 manager
drwxr-xr-x 0/0 usr
drwxr-xr-x 0/0 usr/share
drwxr-xr-x 0/0 usr/share/sbom
-rw-r--r-- 0/0 usr/share/sbom/ipam-controller.cdx.json'
is 'the user' "$(member User <"$work/$config")" '"65532:65532"'
is 'the entry point' "$(member Entrypoint <"$work/$config")" '["/manager"]'
is 'its size' "$(find "$work/root" -type f -printf '%s\n' | awk -v most=$most '{ all += $1 } END { print (all > most) ? all : "small enough" }')" 'small enough'
is 'the interpreter of the program' "$(readelf --program-headers "$work/root/manager" | grep -c INTERP || true)" 0
is 'what it says of itself' "$("$work/root/ipam-controller" --version | cut -d' ' -f1)" ipam-controller
[ "$status" -ne 0 ] || echo "$archive is as it is to be: $(stat -c %s "$archive") bytes"
exit $status
