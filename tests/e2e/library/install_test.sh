#!/bin/sh
# Installs the build, moves it, builds examples/embed against it in a build of its own, and runs it: install_test.sh BUILD SOURCE SCRATCH TORCH ARROW
set -eu
build=$1 source=$2 scratch=$3 torch=$4 arrow=$5
rm -rf "$scratch"
mkdir -p "$scratch/win" "$scratch/lose"
cmake --install "$build" --prefix "$scratch/installed" >"$scratch/install.log"
prefix=$scratch/prefix
mv "$scratch/installed" "$prefix"
fail() { echo "install_test: $*"; exit 1; }

# What others build against names no folder of this machine.
! grep -rnF -e "$source" -e "$build" -e "$torch" -e "$scratch" "$prefix/lib/cmake" "$prefix/lib/pkgconfig" || fail "these paths are of the machine that built it"

# The installed headers are palate.h and what it includes.
(cd "$prefix/include" && find palate -name '*.h' | sort) >"$scratch/installed.txt"
(cd "$source" && c++ -std=c++20 -MM -I. -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" -x c++ palate/palate.h) |
    tr ' \\' '\n\n' | grep '^palate/.*\.h$' | sort -u >"$scratch/public.txt"
diff "$scratch/public.txt" "$scratch/installed.txt" || fail "expected the public headers alone (<), found others (>)"

# Without a libtorch one sentence says what to do.
! env -u PALATE_TORCH cmake -G Ninja -S "$source/examples/embed" -B "$scratch/none" -DCMAKE_PREFIX_PATH="$prefix" >"$scratch/none.log" 2>&1 || fail "it was configured without a libtorch"
tr -s ' \n' ' ' <"$scratch/none.log" | grep -q "name it with -DPALATE_TORCH=FOLDER" || { cat "$scratch/none.log"; fail "expected a sentence about PALATE_TORCH"; }
cmake -G Ninja -S "$source/examples/embed" -B "$scratch/embed" -DCMAKE_PREFIX_PATH="$prefix" -DPALATE_TORCH="$torch" -DPALATE_ARROW="$arrow" >"$scratch/configure.log"
cmake --build "$scratch/embed" >"$scratch/build.log"

# The installed program finds what came with it, wherever it was moved; and libraries that are put beside it first.
readelf -d "$prefix/bin/palate" | grep -q 'R.*PATH.*\[$ORIGIN/\.\./lib' || fail "expected \$ORIGIN/../lib in the RPATH"
"$prefix/bin/palate" env | grep -q "assets *$prefix/share/palate/assets"
"$prefix/bin/palate" sample --model "$source/tests/golden/tiny_pipeline" --prompt "a red circle" --steps 1 --count 2 --out "$scratch/pictures" 2>/dev/null
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
pc="pkg-config --define-variable=torch=$torch --define-variable=arrow=$arrow"
PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
export PKG_CONFIG_PATH
c++ $($pc --cflags palate) "$source/examples/embed/embed.cpp" $($pc --libs palate) -o "$scratch/embed-pc"
status=0
"$scratch/embed-pc" /nowhere "$scratch/win" "$scratch/lose" "$scratch/out2" "a" 2>"$scratch/err.log" || status=$?
test $status = 2
