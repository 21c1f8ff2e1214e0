#!/bin/sh
# Installs the build, builds examples/embed against it in a build of its own, and runs it: install_test.sh BUILD SOURCE SCRATCH
set -eu
build=$1 source=$2 scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch/win" "$scratch/lose"
cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/install.log"
cmake -G Ninja -S "$source/examples/embed" -B "$scratch/embed" -DCMAKE_PREFIX_PATH="$scratch/prefix" >"$scratch/configure.log"
cmake --build "$scratch/embed" >"$scratch/build.log"

# The installed program finds what came with it.
"$scratch/prefix/bin/palate" env | grep -q "assets *$scratch/prefix/share/palate/assets"
"$scratch/prefix/bin/palate" sample --model "$source/tests/golden/tiny_pipeline" --prompt "a red circle" --steps 1 --count 2 --out "$scratch/pictures" 2>/dev/null
cp "$scratch/pictures/00000.png" "$scratch/win/a.png"
cp "$scratch/pictures/00001.png" "$scratch/lose/a.png"
echo "a red circle" >"$scratch/win/a.txt"

"$scratch/embed/embed" "$source/tests/golden/tiny_pipeline" "$scratch/win" "$scratch/lose" "$scratch/out" "a red circle" 2 >"$scratch/out.log" 2>&1 || { cat "$scratch/out.log"; exit 1; }
grep -q "^loss 0.69" "$scratch/out.log" # log 2 at first
test -s "$scratch/out/picture.png"
test -s "$scratch/out/run/pytorch_lora_weights.safetensors"
status=0
"$scratch/embed/embed" /nowhere "$scratch/win" "$scratch/lose" "$scratch/out2" "a" 2>"$scratch/err.log" || status=$?
test $status = 2

# pkg-config says the same as find_package.
PKG_CONFIG_PATH="$scratch/prefix/lib/pkgconfig"
export PKG_CONFIG_PATH
c++ -fsyntax-only $(pkg-config --cflags palate) "$source/examples/embed/embed.cpp"
pkg-config --libs palate | grep -q -- -lpalate_pipeline
