#!/usr/bin/env bash
# Proves the arrows of ARCHITECTURE.md: what each room must not know does not occur in it.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0

# must_not FOLDER WHAT PATTERN
must_not() {
  local found
  # Tests at the end of a file may use what they like; a module of tests in a file of its own is that file's. Doc comments
  # may name anything.
  found=$(find "$1" -name '*.rs' -print0 | xargs -0 awk -v pattern="$3" '
    FNR == 1 { tests = before = 0 }
    before { tests = /\{$/ }
    { before = !tests && /^#\[cfg\(test\)\]/ }
    !tests && $0 !~ /^ *\/\// && $0 ~ pattern { print FILENAME ":" FNR ": " $0 }')
  if [ -n "$found" ]; then
    printf 'error: %s must not know %s\n%s\n' "$1" "$2" "$found" >&2
    status=1
  fi
}

must_not src/addr 'Kubernetes, a runtime, the clock or a log' 'kube|k8s_openapi|tokio|Instant|Timestamp|tracing|crate::(api|ledger|apply|admission|controller)'
must_not src/api 'a client, a runtime or the clock' 'Client|tokio|Instant|Timestamp::now|tracing|crate::(ledger|apply|admission|controller)'
must_not src/ledger 'a client, a runtime, the clock or a log' 'Client|tokio|Instant|Timestamp::now|tracing|crate::(apply|admission|controller)'
must_not src/apply 'admission or the controller' 'crate::(admission|controller)'
must_not src/admission 'a client, the applier or the controller' 'Client|crate::(apply|controller)'
for file in admit defaults lean objects pki pool review; do
  must_not "src/admission/$file.rs" 'a runtime, the clock or a log' 'tokio|axum|Instant|Timestamp::now|tracing'
done
for file in plan secret; do
  must_not "src/controller/certificates/$file.rs" 'a runtime, the clock or a log' 'tokio|Client|Instant|Timestamp::now|tracing'
done
# One door: only the applier makes requests that write.
must_not src/controller 'how to write' '\.(create|patch|patch_status|replace|delete|delete_collection)\('
must_not plugin/src 'how to write' '\.(create|patch|patch_status|replace|delete|delete_collection)\('
exit $status
