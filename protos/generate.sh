#!/usr/bin/env bash
# Generates protos/*_pb2.py, *_pb2_grpc.py and their .pyi files below the folder given.
set -euo pipefail
out=${1:?folder to write to}
python -m grpc_tools.protoc --proto_path=. --python_out="$out" --grpc_python_out="$out" \
    --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" protos/*.proto
