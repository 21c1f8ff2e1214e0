#!/bin/sh
# tools/compare_builds finds a program equal to itself, and a program that rounds otherwise different: compare_builds_test.sh PROGRAM SCRATCH
set -eu
program=$1 scratch=$2
tools=$(dirname "$0")/../../../tools
rm -rf "$scratch"
mkdir -p "$scratch"

"$tools/compare_builds" "$program" "$program" --threads 1 --only "step full" >"$scratch/same.log" || { cat "$scratch/same.log"; exit 1; }
grep -q "^step full .* equal " "$scratch/same.log"

cat >"$scratch/other" <<END
#!/bin/sh
ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 exec "$program" "\$@"
END
chmod +x "$scratch/other"
status=0
"$tools/compare_builds" "$program" "$scratch/other" --threads 1 --only "train lora" >"$scratch/other.log" || status=$?
cat "$scratch/other.log"
test $status = 1
grep -q "lora/metrics.jsonl: line .* is .*, NEW has" "$scratch/other.log"
grep -q "lora/pytorch_lora_weights.safetensors: .* tensors: tensor .* by at most" "$scratch/other.log"
