#!/bin/sh
# Downloads the pinned wheels that carry libtorch and Arrow, and unpacks the part that is compiled against or loaded on a CPU.
# usage: fetch_wheels.sh DIR   (DIR is made whole or not at all)
set -eu
dir=$1
torch=2.11.0 arrow=26.0.1 cudart=13.0.96 cupti=13.0.85
stamp="torch-$torch pyarrow-$arrow cudart-$cudart cupti-$cupti"
[ "$(cat "$dir/stamp" 2>/dev/null || true)" = "$stamp" ] && exit 0

new="$dir.new"
rm -rf "$new" && mkdir -p "$new/whl"
get() {
    python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir --only-binary=:all: \
        --python-version 3.12 --implementation cp --abi cp312 --abi none --platform manylinux_2_28_x86_64 \
        --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        -d "$new/whl" "$@"
}
echo "[run] downloading libtorch $torch and Arrow $arrow (about 600 MB, once)" >&2
get torch==$torch pyarrow==$arrow nvidia-cuda-runtime==$cudart nvidia-cuda-cupti==$cupti
echo "[run] unpacking" >&2
unzip -q "$new"/whl/torch-*.whl 'torch/lib/libtorch_cpu.so' 'torch/lib/libc10.so' 'torch/lib/libgomp*' 'torch/include/*' '*LICENSE*' '*NOTICE*' -d "$new"
unzip -q "$new"/whl/pyarrow-*.whl 'pyarrow/include/*' 'pyarrow/libarrow.so*' 'pyarrow/libparquet.so*' '*LICENSE*' '*NOTICE*' -d "$new"
unzip -q "$new"/whl/nvidia_cuda_runtime-*.whl '*/libcudart.so*' -d "$new"
unzip -q "$new"/whl/nvidia_cuda_cupti-*.whl '*/libcupti.so*' -d "$new"
rm -rf "$new/whl"
echo "$stamp" >"$new/stamp"
rm -rf "$dir" && mv "$new" "$dir"
