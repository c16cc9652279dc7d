#!/usr/bin/env bash
# All checks that need an NVIDIA GPU, in order of worth. What a card was measured at goes to
# benchmarks/results/gpu_CHECK.json, a file each; a table comes at the end.
#
#   benchmarks/gpu/run_all.sh [CHECK …]      default: builds parity refit speed roofline training methods
#
# What is missing is named, and the next check follows; the exit status is 1 only where a check failed that could run.
# PYTHON names the interpreter (default: .venv/bin/python, else python3); OSPREY_DATA the folder of the data sets, for
# `training` and `methods`; OSPREY_RUNS the folder of training runs, which are gone on with (default: build/gpu). The
# last two take hours; OSNET_X1_0 and RESNET50 may name public weights that `methods` starts from.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2

if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x .venv/bin/python ]; then PYTHON=.venv/bin/python; fi
fi
if [ "$#" -eq 0 ]; then set -- builds parity refit speed roofline training methods; fi

command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
for check in "$@"; do
  echo "== $check"
  rm -f "build/gpu/gpu_$check.json"
  "$PYTHON" -m benchmarks.gpu.check "$check"
done
echo
exec "$PYTHON" -m benchmarks.gpu.summary "$@"
