#!/usr/bin/env bash
# Fails when the committed generated code is stale, when Buf's lint complains, or when a message changed in a way that
# an older edge or server could not read.
set -euo pipefail
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
bash protos/generate.sh "$fresh"
for file in "$fresh"/protos/*; do
    cmp -s "$file" "protos/$(basename "$file")" ||
        { echo "protos/$(basename "$file") is not what the .proto files generate: run 'make protos'" >&2; exit 1; }
done
"$BUF" lint
# Compare with where this branch left origin/main; on main itself, with the last commit (or the one before, if clean).
base=$(git merge-base HEAD origin/main 2>/dev/null || git rev-parse HEAD)
if [ "$base" = "$(git rev-parse HEAD)" ] && git diff --quiet HEAD -- protos; then
    base=$(git rev-parse --verify --quiet HEAD~1 || echo "$base")
fi
if git cat-file -e "$base:protos/ingest.proto" 2>/dev/null; then
    "$BUF" breaking --against ".git#ref=$base"
fi
echo "protos: generated code fresh, lint clean, wire compatible with ${base:0:9}"
