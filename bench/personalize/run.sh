#!/bin/sh
# Personalisation on the embedded world: DCO and DreamBooth on the same pictures, captions, LoRA and steps, and merges of each's subject and style.
#   bench/personalize/run.sh OUT [SEEDS]     PALATE=build/palate, one thread; goes on where it was stopped
# table.py OUT prints what came of it.
set -eu
out=$1
seeds=${2:-"0 1 2 3 4"}
palate=${PALATE:-build/palate}
base=${BASE:-assets/base}
export OMP_NUM_THREADS=1
mkdir -p "$out"

# personalize NAME SEED short|long METHOD flags...: 80 steps of 5 pictures, or 250 of 2, which is where the pictures are known by heart
personalize() {
    name=$1 seed=$2 length=$3 method=$4
    shift 4
    case $method in
    dco) set -- "$@" objective.beta=20 ;;
    dreambooth) set -- "$@" objective.loss=dreambooth objective.reference=none ;;
    esac
    case $length in
    short) set -- "$@" train.steps=80 train.batch=5 ;;
    long) set -- "$@" train.steps=250 train.batch=2 ;;
    esac
    [ -f "$out/$name/evaluation.json" ] && return
    "$palate" personalize -q --model "$base" --out "$out/$name" --threads 1 --distance-draws 5 --pictures 2 \
        'lora.targets=["down_blocks*","mid_block*","up_blocks*"]' lora.rank=16 optimizer.lr=1e-3 text.lr=1e-2 seed="$seed" \
        sample.steps=20 sample.guidance_scale=2.5 train.checkpoint_every=50 train.keep_checkpoints=1 "$@" >"$out/$name.txt"
}

for seed in $seeds; do
    world=$out/world_$seed
    [ -d "$world" ] || "$palate" world --scenes 0 --subject 5 --style 6 --seed "$seed" --out "$world" >"$out/world_$seed.txt"
    class=$(sed -n 's/^subject.*class "\([^"]*\)".*/\1/p' "$out/world_$seed.txt")
    for length in short long; do
        personalize "dco_${length}_$seed" "$seed" $length dco --images "$world/subject" --class "$class" --weights 0,1,1.5,2,3
        personalize "dreambooth_${length}_$seed" "$seed" $length dreambooth --images "$world/subject" --class "$class" --weights 0
    done
    personalize "dco_style_$seed" "$seed" short dco --images "$world/style" --style --word zwx --class a --weights 0,1.5 objective.noise_offset=0
    personalize "dreambooth_style_$seed" "$seed" short dreambooth --images "$world/style" --style --word zwx --class a --weights 0 objective.noise_offset=0
    for method in dco dreambooth; do
        [ -f "$out/${method}_merge_$seed/evaluation.json" ] ||
            "$palate" personalize -q --merge "$out/${method}_short_$seed" "$out/${method}_style_$seed" --out "$out/${method}_merge_$seed" \
                --weights 0,1.5 --pictures 2 --threads 1 >"$out/${method}_merge_$seed.txt"
    done
done
python3 "$(dirname "$0")/table.py" "$out"
