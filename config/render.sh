#!/usr/bin/env bash
# Prints the manifests. IMG=registry/name:tag, NAMESPACE=name and COMPONENTS="network-policy …" (folders of
# config/components) change them, BRING_NAMESPACE=0 leaves the Namespace out; KUBECTL says which kubectl renders.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p out
overlay=$(mktemp -d out/overlay.XXXXXX)
trap 'rm -r "$overlay"' EXIT

# What the deployment is written with.
name=localhost/ipam-controller
{
  printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../config/default]\n'
  if [ -n "${COMPONENTS:-}" ]; then
    echo "components:"
    for component in $COMPONENTS; do
      [ -d "config/components/$component" ] || {
        echo "error: there is no component \`$component\`; there are: $(ls config/components | xargs)" >&2
        exit 2
      }
      echo "- ../../config/components/$component"
    done
  fi
  if [ -n "${NAMESPACE:-}" ]; then
    printf 'namespace: %s\ntransformers:\n- ../../config/namespace\n' "$NAMESPACE"
    for component in ${COMPONENTS:-}; do
      [ ! -d "config/components/$component/namespace" ] || echo "- ../../config/components/$component/namespace"
    done
  fi
  if [ "${BRING_NAMESPACE:-1}" = 0 ]; then
    printf 'patches:\n- patch: "{apiVersion: v1, kind: Namespace, metadata: {name: metal3-ipam-system}, $patch: delete}"\n'
  fi
  if [ -n "${IMG:-}" ]; then
    untagged=${IMG%@*} digest='' tag=''
    [ "$untagged" = "$IMG" ] || digest=${IMG#*@}
    # A colon before a slash is that of the registry's port.
    case ${untagged##*/} in *:*) tag=${untagged##*:} untagged=${untagged%:*} ;; esac
    if [ -z "$tag$digest" ]; then
      echo "error: IMG=$IMG has neither a tag nor a digest" >&2
      echo "hint: IMG=$IMG:TAG names one; what is pulled without one changes under the same name" >&2
      exit 2
    fi
    printf 'images: [{name: %s, newName: "%s", newTag: "%s", digest: "%s"}]\n' "$name" "$untagged" "$tag" "$digest"
  fi
} >"$overlay/kustomization.yaml"
"${KUBECTL:-kubectl}" kustomize "$overlay"
