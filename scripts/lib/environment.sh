# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by every script. Builds go outside the checkout, so that a fresh clone finds what an earlier one built.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/mhealth-chain/target}")
export root CARGO_TARGET_DIR
# Sourced before a script names another root.
rustc_wrapper=$root/scripts/lib/rustc

# Builds these programs and no others, yet with the features that they have as parts of the whole workspace: naming packages
# would change features and compile dependencies again. Files are named relative to where the caller stands, who stays there.
build_programs() { (cd "$root" && cargo build --release --workspace "${@/#/--bin=}"); }

# The same for everything that a whole system is made of, and these.
build_system() { build_programs mhealth-node mhealth-auth mhealth-relay mhealth-device mhealth-auditor "$@"; }

# What the crate `evidence` is checked for, beside this machine: web pages, runtimes, telephones. Nothing is built for them.
# shellcheck disable=SC2034 # for those who source this
portable_targets=(wasm32-unknown-unknown wasm32v1-none aarch64-linux-android aarch64-apple-ios)

# Copies the sources into a folder, which is made anew.
copy_sources() {
    rm -rf "$1"
    mkdir -p "$1"
    (cd "$root" && list_sources | tar --create --null --files-from -) | tar --extract --directory "$1"
}

# The files of the sources. A copy of them, such as scripts/planted makes, is no checkout: it has a list of them, beside what is built in it.
# What was unpacked from an archive of the sources has no others.
list_sources() {
    if [ -e .git ]; then git ls-files -z; elif [ -e .sources ]; then cat .sources; else find . -type f -print0; fi
}

# Makes a copy like the sources. What is the same already keeps its time, or it would be compiled again; what a fault was planted in gets
# a new one, or the fault would stay in what is compiled.
refresh_sources() { # COPY
    local file
    mkdir -p "$1"
    : >"$1/.sources"
    while IFS= read -r -d '' file; do
        [ -e "$root/$file" ] || continue
        printf '%s\0' "$file" >>"$1/.sources"
        cmp -s "$root/$file" "$1/$file" && continue
        mkdir -p "$(dirname "$1/$file")"
        cp --remove-destination "$root/$file" "$1/$file"
    done < <(cd "$root" && list_sources)
    while IFS= read -r file; do
        [ "$file" = .sources ] || [ -e "$root/$file" ] || rm "$1/$file"
    done < <(cd "$1" && find . -type f -printf '%P\n')
}

# Applies a patch to a copy of the sources. The copy may lie within the checkout, and git must not take it for a part of it.
patch_copy() { # COPY PATCH
    (cd "$1" && GIT_CEILING_DIRECTORIES=$(dirname "$1") git apply "$2")
}

# Builds a program of a package from a copy of the sources with one fault planted in it, and prints where it is. A node that nobody has
# optimised makes no blocks in time; it has the features that it has as a part of the whole workspace, so that `scripts/planted` and this
# compile the SDK once.
planted_program() {
    local patch=$1 package=$2 program=$3 copy=$CARGO_TARGET_DIR/planted/source built=debug
    local chosen=(-p "$package")
    if [ "$package" = mhealth-node ]; then
        chosen=(--release --workspace "--bin=$program") built=release
    fi
    refresh_sources "$copy"
    patch_copy "$copy" "$patch"
    (cd "$copy" && cargo build --quiet "${chosen[@]}" --target-dir "$CARGO_TARGET_DIR/planted") >&2
    echo "$CARGO_TARGET_DIR/planted/$built/$program"
}

# Builds the runtime that lab/upgrades/NAME.patch makes of this one, and prints where its Wasm is. The project that the node's
# own runtime was built with serves for that, so that both are built alike, and only what differs is compiled.
upgraded_runtime() { # NAME [FEATURE]
    local name=$1 feature=${2:-} work=$CARGO_TARGET_DIR/upgrades/$1${2:+-$2} built=$CARGO_TARGET_DIR/release/wbuild/mhealth-runtime
    rm -rf "$work/project"
    mkdir -p "$work/project"
    copy_sources "$work/source"
    patch_copy "$work/source" "$root/lab/upgrades/$name.patch" || return
    cp -r "$built/Cargo.toml" "$built/Cargo.lock" "$built/src" "$root/rust-toolchain.toml" "$work/project/" || return
    sed -i "s|^path = \".*/runtime\"|path = \"$work/source/runtime\"|" "$work/project/Cargo.toml"
    if [ "$feature" ]; then
        sed -i "s|^features = \[|&\"$feature\", |" "$work/project/Cargo.toml"
        # It brings packages that the node's runtime does not have.
        cp "$root/Cargo.lock" "$work/project/"
    fi
    # What both have in common is compiled already.
    [ -e "$CARGO_TARGET_DIR/upgrades/target" ] || cp -a "$built/target" "$CARGO_TARGET_DIR/upgrades/target"
    (cd "$work/project" && unset CARGO_ENCODED_RUSTFLAGS && CARGO_TARGET_DIR=$CARGO_TARGET_DIR/upgrades/target SKIP_WASM_BUILD='' \
        RUSTFLAGS='-C link-arg=--export-table -C link-arg=--export=__heap_base -C link-arg=--import-memory --cfg substrate_runtime' \
        cargo rustc --quiet --target=wasm32v1-none --profile release) >&2 || return
    # A transaction has 2 MiB at most, so the chain takes it compressed, with these bytes before it.
    {
        printf '\x52\xbc\x53\x76\x46\xdb\x8e\x05'
        zstd --quiet -19 --stdout "$CARGO_TARGET_DIR/upgrades/target/wasm32v1-none/release/mhealth_runtime.wasm"
    } >"$work/$name.wasm" || return
    echo "$work/$name.wasm"
}

# What a released runtime has beside the others: the hash of its metadata, without which hardware wallets cannot sign.
# shellcheck disable=SC2034 # for those who source this
released_features=mhealth-runtime/metadata-hash

# For builds that give the same bytes wherever they are made. Folders of this machine become names of no machine, in programs and
# in the runtime, whose panics name source files; and crates are told apart by no folder.
reproducible_flags() {
    local cargo=${CARGO_HOME:-$HOME/.cargo} commit flags
    flags="--remap-path-prefix=$root=/mhealth-chain --remap-path-prefix=$cargo=/cargo --remap-path-prefix=$CARGO_TARGET_DIR=/target"
    # The standard library's sources have this name where they are not installed.
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    flags+=" --remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=/rustc/$commit"
    unset CARGO_ENCODED_RUSTFLAGS
    export RUSTFLAGS="$flags" WASM_BUILD_RUSTFLAGS="$flags" CARGO_INCREMENTAL=0 RUSTC_WRAPPER="$rustc_wrapper"
}

# The hash by which the chain knows a runtime's code (BLAKE2b, 256 bits).
code_hash() { echo "0x$(b2sum --length=256 "$1" | cut -d' ' -f1)"; }
