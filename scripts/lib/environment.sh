# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by every script. Builds go outside the checkout, so that a fresh clone finds what an earlier one built.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/mhealth-chain/target}")
export root CARGO_TARGET_DIR
