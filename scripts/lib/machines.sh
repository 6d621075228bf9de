# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Machines of organisations for documents that are followed: folders and ports of this machine, and services that run there.
# Sourced after environment.sh, which says where the programs are.

# Whoever has a machine, and so a node. The first is meant where a document names none.
machines=(north south east west harbour centre)
declare -A node_port peer_port

# Everything that happens, in a folder that goes when it is over, but for $MHEALTH_FOLLOW_KEEP.
begin_machines() {
    local org port=
    world=$(mktemp -d "${TMPDIR:-/tmp}/mhealth-follow.XXXXXX")
    mkdir -p "$world/bin" "$world/run" "$world/log" "$world/work"
    for org in "${machines[@]}"; do
        take_port
        node_port[$org]=$port
        take_port
        peer_port[$org]=$port
    done
    take_port
    relay_port=$port
    take_port
    auth_port=$port
    # shellcheck disable=SC2154 # environment.sh
    cp "$root/scripts/lib/systemctl" "$world/bin/systemctl"
    ln -s "$CARGO_TARGET_DIR"/release/mhealth{,-node,-auth,-relay,-device,-auditor} "$world/bin/"
}

end_machines() {
    local pid
    # They may have to end before they have begun.
    [ "${world:-}" ] || return 0
    for pid in "$world"/run/*.pid; do
        [ -e "$pid" ] && kill -9 "$(cat "$pid")" 2>/dev/null
    done
    [ "${MHEALTH_FOLLOW_KEEP:-}" ] || rm -rf "$world"
    return 0
}

# Takes a port that nobody has now, and that no test takes until this shell and its services end, also while nobody listens there:
# testing/src/port.rs locks the same files.
take_port() {
    local taken=${TMPDIR:-/tmp}/mhealth-test-ports lock
    mkdir -p "$taken"
    while true; do
        # Below those that systems hand out by themselves.
        port=$((20000 + RANDOM % 12000))
        exec {lock}>"$taken/$port" || return
        if flock --nonblock "$lock" && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        exec {lock}>&-
    done
}

# What commands at an organisation name of others and is not handed out, as .json is: folders, secrets. Here all are on one disk.
of_others() { # ORG COMMANDS
    local name others=
    for name in "${machines[@]}"; do [ "$name" = "$1" ] || others+="|$name"; done
    grep -oE "(^|[^[:alnum:]\$/.-])(${others#|})(-[[:alnum:]-]+)?(/[^[:space:]]*|[[:space:]]|\$)" <<<"$2"
}

# Runs commands on the machine of an organisation.
on_machine() {
    local org=$1 commands=$2 name variables=()
    for name in "${machines[@]}"; do
        variables+=("${name^^}=${peer_port[$name]}" "${name^^}_RPC=${node_port[$name]}")
    done
    # Nothing of the caller's that programs of ours read; what it has for documents, they say themselves.
    (
        cd "$world/work" || exit
        for name in $(compgen -e MHEALTH_); do unset "$name"; done
        env "${variables[@]}" ORG="$org" PORT="${peer_port[$org]}" RELAY="$relay_port" AUTH="$auth_port" NEXT="${NEXT:-}" BACK="${BACK:-}" \
            PATH="$world/bin:$PATH" FOLLOW_WORLD="$world" FOLLOW_CACHE="$CARGO_TARGET_DIR/release/runtime-cache" \
            MHEALTH_NODE="$world/bin/mhealth-node" MHEALTH_NODE_URL="ws://127.0.0.1:${node_port[$org]}" \
            MHEALTH_RPC_PORT="${node_port[$org]}" MHEALTH_PEER_PORT="${peer_port[$org]}" \
            bash -euo pipefail -c "$commands" </dev/null
    )
}

# The end of the logs of an organisation's services.
last_words() {
    local log
    for log in "$world/log/$1".*; do
        [ -e "$log" ] || continue
        printf -- '-- %s\n' "$(basename "$log")"
        tail -n 25 "$log"
    done
}
