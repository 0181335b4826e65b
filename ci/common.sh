# Shell functions that the scripts in ci/ share. Sourced, not run; the caller stands in the repository's root.

fail() {
    echo "error: $*" >&2
    exit 1
}

timings=()

# step NAME COMMAND...: runs the command, says how long it took, stops everything when it fails.
step() {
    local name="$1" start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@" || fail "$name failed: $*"
    timings+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

summary() {
    printf '\n== How long each part took\n'
    printf '%s\n' "${timings[@]}"
}

# Debian packages for building and testing; the lab's mirror installs those of its own.
install_packages() {
    local packages=(g++ gcc libc6-dev pkg-config openssl skopeo zstd tar git haproxy faketime openssh-client gpg gpg-agent xz-utils)
    command -v cargo >/dev/null || fail "no Rust toolchain: install a stable one (https://rustup.rs) and run this again"
    if ! dpkg-query -W -f '${db:Status-Status}\n' "${packages[@]}" 2>/dev/null | grep -qv '^installed$' &&
        [ "$(dpkg-query -W -f '${db:Status-Status}\n' "${packages[@]}" 2>/dev/null | wc -l)" = "${#packages[@]}" ]; then
        return
    fi
    [ "$(id -u)" = 0 ] || fail "missing packages; as root: apt-get install ${packages[*]}"
    step "packages" apt_install "${packages[@]}"
}

apt_install() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# ignored_tests COUNT ARGUMENTS...: cargo test, with tests that need a program or data from outside. It fails if fewer than COUNT ran.
# Scripts build with --workspace throughout: another selection of packages has other features, and compiles every dependency again.
ignored_tests() {
    local count="$1" log=target/ignored-tests.log ran
    shift
    cargo test --locked --workspace "$@" 2>&1 | tee "$log" || return
    ran="$(awk '/^test result: ok/ { ran += $4 } END { print ran + 0 }' "$log")"
    [ "$ran" -ge "$count" ] || fail "$ran tests ran, $count are expected: cargo test $*"
}

# lab_release OLDEST|NEWEST: the Kubernetes release that the tests call so.
lab_release() {
    sed -n "s/^pub const $1: &str = \"\(.*\)\";/\1/p" tests/src/connected.rs
}

# with_mirror COMMAND...: runs the command with kbundle's options for the lab's mirror added, and stops the mirror.
with_mirror() {
    local options
    coproc mirror { exec ./ci/lab mirror; }
    read -r options <&"${mirror[0]}" || fail "the mirror did not start"
    # shellcheck disable=SC2086 # options are words, made for this
    "$@" $options
    # The end of its input stops the mirror: what follows has nothing to fetch from.
    eval "exec ${mirror[1]}>&-"
    wait "$mirror_PID"
}
