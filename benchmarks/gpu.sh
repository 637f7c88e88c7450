#!/bin/sh
# All parts of benchmarks/gpu.py, each in a process of its own that may take three minutes (LIMIT, in seconds).
#
#     sh benchmarks/gpu.sh [--device cpu --quick --out DIR]
#
# The results are in benchmarks/results/gpu-*.json. Parts that fail are named at the end.
cd "$(dirname "$0")/.." || exit 2
failed=
for part in losses static detections runs waits inference_1 inference_16 training graphs loader; do
    echo "== $part"
    timeout "${LIMIT:-180}" "${PYTHON:-python}" -m benchmarks.gpu "$part" "$@" || failed="$failed $part"
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
