#!/usr/bin/env bash
# Everything that a GPU has to show, on a host with PyTorch and numba-cuda but no DVC or Jupyter:
#
#     OUT=/somewhere/new bash scripts/on_gpu.sh
#
# Kernel tests on the device, compute-sanitizer on small cases, times and ratios, host cost, then
# training for as long as the budget lasts. A step that fails is recorded and the next one runs.
#
#     OUT             where everything goes (default: build/gpu); also as $OUT/gpu.tar.gz
#     BUDGET_SECONDS  of all steps together (default: 3600); what is left goes to training
#     STEPS           only these, of "versions tests sanitizer benchmarks train"
#     RESUME          the resume/ folder of an earlier $OUT: training goes on from there
#     TRAIN_SCALES    blocks of params.yaml, in order (default: "real tour")
#     REPRO_DATA      the folder of the real datasets, for "real"
#     PYTHON          the interpreter that has PyTorch (default: python3)
set -uo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
PYTHON=${PYTHON:-python3}
OUT=$(mkdir -p "${OUT:-build/gpu}" && cd "${OUT:-build/gpu}" && pwd)
BUDGET_SECONDS=${BUDGET_SECONDS:-3600}
STEPS=${STEPS:-versions tests sanitizer benchmarks train}
export PYTHONPATH=.:numba_cuda${PYTHONPATH:+:$PYTHONPATH}
export REPRO_KERNEL_CACHE=${REPRO_KERNEL_CACHE:-$OUT/kernel_cache}
summary=$OUT/summary.csv
echo "step,status,seconds" > "$summary"

left() { echo $((BUDGET_SECONDS - (SECONDS - started))); }

# step <name> <command...>: run it within the budget, keep its output, record how it ended.
step() {
    local name=$1 before=$SECONDS status
    shift
    case " $STEPS " in *" ${name%%_*} "*) ;; *) return ;; esac
    if [ "$(left)" -le 0 ]; then
        echo "$name,no time left,0" >> "$summary"
        return
    fi
    echo "== $name: $*"
    # SIGINT lets training end at a checkpoint; what ignores it is killed.
    timeout --signal=INT --kill-after=60 "$(left)" "$@" > "$OUT/$name.log" 2>&1
    status=$?
    echo "$name,$status,$((SECONDS - before))" >> "$summary"
    tail -n 5 "$OUT/$name.log"
    pack
}

# Also after every step: whatever ends the script, the archive holds what was finished.
pack() {
    tar -C "$OUT" --exclude='*gpu.tar.gz' --exclude=kernel_cache -czf "$OUT/.gpu.tar.gz" . 2> /dev/null
    mv "$OUT/.gpu.tar.gz" "$OUT/gpu.tar.gz"
}

step versions "$PYTHON" -c '
import json, torch
from repro import env
print(json.dumps(env.describe(), indent=1))
print(torch.cuda.get_device_properties(0))'

# Tests build their own command lines; plugins of the host must not fail them.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
step tests "$PYTHON" -m pytest tests/kernels -m gpu -q -p no:cacheprovider --junitxml="$OUT/tests.xml"

if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        step "sanitizer_$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$PYTHON" scripts/run_small_cases.py
    done
else
    echo "sanitizer,compute-sanitizer is not installed,0" >> "$summary"
fi

step benchmarks_upsampling "$PYTHON" benchmarks/bench_joint_upsampling.py --device cuda \
    --out "$OUT/benchmark_joint_upsampling.csv"
for dtype in float32 bfloat16; do
    step "benchmarks_$dtype" "$PYTHON" benchmarks/bench_ddf.py --device cuda --dtype "$dtype" \
        --rounds 50 --out "$OUT/benchmark_$dtype.csv"
done
step benchmarks_host "$PYTHON" scripts/run_small_cases.py --host-cost

# The bundled images come through DVC elsewhere; here from the copy of them that git holds.
step train_data "$PYTHON" scripts/restore_data.py
if [ -n "${RESUME:-}" ]; then
    mkdir -p "$OUT/resume" && cp -R "$RESUME/." "$OUT/resume"
fi
for scale in ${TRAIN_SCALES:-real tour}; do
    step "train_upsampling_$scale" "$PYTHON" scripts/train_joint_upsampling.py --scale "$scale" \
        --out "$OUT/results/$scale/joint_upsampling" --resume "$OUT/resume"
    step "train_$scale" "$PYTHON" scripts/train_classification.py --scale "$scale" \
        --out "$OUT/results/$scale/classification" --resume "$OUT/resume"
done

pack
echo "everything is in $OUT/gpu.tar.gz"
cat "$summary"
