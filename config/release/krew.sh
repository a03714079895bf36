#!/usr/bin/env bash
# Prints krew.yaml for the archives in a folder: `krew.sh FOLDER VERSION REPOSITORY`. Each archive has its sum beside it,
# as `sha256sum` writes it.
set -euo pipefail
[ $# -eq 3 ] || { echo "usage: $0 FOLDER VERSION REPOSITORY" >&2; exit 2; }
folder=$1 version=$2 repository=$3
template="$(dirname "$0")/../../krew.yaml"

platforms=''
for sum in "$folder/kubectl-ipam-$version-"*.tar.gz.sha256; do
  [ -e "$sum" ] || { echo "error: there is no archive of $version in $folder" >&2; exit 1; }
  platform=${sum##*/kubectl-ipam-"$version"-}
  platforms+="${platform%.tar.gz.sha256}=$(cut -d ' ' -f 1 "$sum") "
done

awk -v version="$version" -v repository="$repository" -v platforms="$platforms" '
  BEGIN {
    n = split(platforms, given, " ")
    for (i = 1; i <= n; i++) { split(given[i], pair, "="); sums[pair[1]] = pair[2] }
  }
  NR == 1, /^apiVersion/ { if (/^#/) next }
  /^#begin / { platform = $2; known[platform] = 1; next }
  /^#end/ { platform = ""; next }
  platform != "" && !(platform in sums) { next }
  { gsub("@VERSION@", version); gsub("@REPOSITORY@", repository); if (platform != "") gsub("@SHA256@", sums[platform]); print }
  END {
    for (platform in sums) if (!(platform in known)) {
      print "error: krew.yaml has no platform " platform > "/dev/stderr"; exit 1
    }
  }' "$template"
