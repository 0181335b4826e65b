# Shared by `fill` and the parts: the cache, apt, and reproducible archives. Sourced, never run.

set -euo pipefail
export LC_ALL=C TZ=UTC DEBIAN_FRONTEND=noninteractive

CACHE=${KBUNDLE_LAB_CACHE:-/var/cache/kbundle-lab}
MIRROR_SRC=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}

# A loud notice about something that a part lacks; `fill` repeats it whenever it ends.
notice() { # OUT TEXT
    printf '*** NOTICE: %s\n' "$2" | tee "$1/NOTICE" >&2
}

# ---- parts -------------------------------------------------------------------------------------
# A part is NAME or NAME@VERSION. NAME is a script in parts/ with two verbs:
#   parts/NAME key [VERSION]         prints what decides the content, besides the script itself
#   parts/NAME build DIR [VERSION]   makes the content in DIR, which exists and is empty
# Its result is kept as $CACHE/parts/PART-KEY. It is built aside and renamed, so that
# what has the final name is whole.

part_script() { printf '%s/parts/%s\n' "$MIRROR_SRC" "${1%@*}"; } # PART
part_version() { [[ $1 != *@* ]] || printf '%s\n' "${1#*@}"; }    # PART

part_dir() { # PART -> the directory that holds (or will hold) the part
    local script key
    script=$(part_script "$1")
    # shellcheck disable=SC2046
    key=$({ cat "$script"; "$script" key $(part_version "$1"); } | sha256sum)
    printf '%s/parts/%s-%.12s\n' "$CACHE" "$1" "$key"
}

# Changes to a scratch directory in the cache (where there is room), removed when the script ends.
in_work_dir() {
    WORK=$(mktemp -d -p "$CACHE" work.XXXXXX)
    trap 'chmod -R u+w "$WORK"; rm -rf --one-file-system "$WORK"' EXIT
    cd "$WORK"
}

part() { # PART -> builds it where it is missing, prints its directory
    local name=$1 dir aside log started=$SECONDS
    dir=$(part_dir "$name")
    log=$CACHE/log/$name.log
    if [[ ! -d $dir ]]; then
        mkdir -p "$CACHE/parts" "$CACHE/log"
        exec {lock}>"$CACHE/parts/.$name.lock"
        flock "$lock"
        if [[ ! -d $dir ]]; then
            aside=$(mktemp -d "$CACHE/parts/.$name.XXXXXX")
            chmod 755 "$aside"
            # shellcheck disable=SC2046
            if ! "$(part_script "$name")" build "$aside" $(part_version "$name") >"$log" 2>&1; then
                rm -rf --one-file-system "$aside"
                tail -n 40 "$log" >&2
                die "part $name was not built" "the whole log is $log"
            fi
            sync -f "$aside"
            mv -T "$aside" "$dir"
            printf '%-22s built in %4d s\n' "$name" $((SECONDS - started)) >&2
        fi
        exec {lock}>&-
    fi
    printf '%s\n' "$dir"
}

# Replaces the link NAME in the cache as one step.
point() { # NAME TARGET
    ln -sfn "$2" "$CACHE/$1.new"
    mv -T "$CACHE/$1.new" "$CACHE/$1"
}

# Removes what earlier versions of a part left behind.
drop_old_parts() { # PART...
    local name keep old
    for name in "$@"; do
        keep=$(part_dir "$name")
        for old in "$CACHE/parts/$name"-????????????; do
            [[ $old == "$keep" || ! -d $old ]] || rm -rf --one-file-system "$old"
        done
    done
}

# ---- Debian ------------------------------------------------------------------------------------
# Sources and foreign architectures need their own apt lists: made from this machine's own
# settings at run time and kept in the cache, so that /etc/apt stays as it is.

apt_private() { # TOOL ARGS...
    local tool=$1
    shift
    "$tool" -o Dir::Etc::SourceList="$CACHE/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$CACHE/apt/lists" -o Dir::Cache="$CACHE/apt/cache" \
        -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 \
        -o APT::Sandbox::User=root -o APT::Update::Post-Invoke::= -qq "$@"
}

apt_private_update() {
    mkdir -p "$CACHE/apt/lists/partial" "$CACHE/apt/cache/archives/partial"
    apt-get indextargets --format '$(CREATED_BY) $(ORIGIN) $(SITE) $(RELEASE) $(COMPONENT)' |
        awk '$1 == "Packages" && $2 == "Debian" { print "deb", $3, $4, $5; print "deb-src", $3, $4, $5 }' |
        sort -u >"$CACHE/apt/sources.list.new"
    [[ -s $CACHE/apt/sources.list.new ]] ||
        die "apt knows no Debian archive" "the mirror is filled from Debian 12; set up its archive and run apt-get update"
    mv "$CACHE/apt/sources.list.new" "$CACHE/apt/sources.list"
    apt_private apt-get update
    rm -rf "$CACHE/apt/known"
}

debian_archive() { # -> the address of the archive that apt takes bookworm from
    apt-get indextargets --format '$(CREATED_BY) $(ORIGIN) $(RELEASE) $(SITE)' |
        awk '$1 == "Packages" && $2 == "Debian" && $3 == "bookworm" { print $4; exit }'
}

deb_version() { # PACKAGE[:ARCH] -> the version that apt would download
    remembered "$1" apt_private apt-cache show --no-all-versions "$1"
}

# The highest Version that the command names. Kept until the lists are fetched again: apt-cache
# takes a second for each question, and every part's key asks several.
remembered() { # QUESTION COMMAND...
    local answer=$CACHE/apt/known/$1 version
    if [[ ! -s $answer ]]; then
        version=$("${@:2}" | sed -n 's/^Version: //p' | sort -V | tail -n 1)
        [[ -n $version ]] || die "Debian's archive has no $1"
        mkdir -p "$CACHE/apt/known"
        printf '%s\n' "$version" >"$answer.$BASHPID"
        mv "$answer.$BASHPID" "$answer"
    fi
    cat "$answer"
}

# 2.6.12-1+deb12u3 -> 2.6.12, 2:1.35.0-4 -> 1.35.0
upstream_version() { # DEBIAN-VERSION
    printf '%s\n' "$1" | sed -E 's/^[0-9]+://; s/-[^-]*$//; s/[~+].*//'
}

unpack_deb() { # PACKAGE[:ARCH] DIR
    local aside
    aside=$(mktemp -d)
    (cd "$aside" && apt_private apt-get download "$1")
    mkdir -p "$2"
    dpkg-deb -x "$aside"/*.deb "$2"
    rm -r "$aside"
}

# ---- Go ----------------------------------------------------------------------------------------
# Programs are built from the modules that the Go module proxy serves, at the versions that the
# built-in catalog pairs.

DEBIAN_GO=/usr/lib/go-1.19/bin/go

# The Go on the path, which has to be a recent one.
new_go() {
    command -v go || die "no Go on the path" "the mirror needs Go 1.26 or later for today's releases: https://go.dev/dl"
}

# What was current when modules of that time were released: newer versions compile some of them no
# more, or to programs that behave differently (kubeadm up to 1.30 fails its own preflight).
go_of_kubernetes() { # VERSION
    local minor
    minor=$(cut -d. -f2 <<<"$1")
    if [[ $minor -le 26 ]]; then
        printf '%s\n' "$DEBIAN_GO"
    elif [[ $minor -le 30 ]]; then
        toolchain_go go1.22.12
    else
        new_go
    fi
}

# A Go that the module proxy serves, taken from there at its first use.
toolchain_go() { # GO-VERSION
    local root
    root=$(GOTOOLCHAIN=$1 "$(new_go)" env GOROOT) || die "the Go module proxy did not give $1"
    printf '%s/bin/go\n' "$root"
}

go_module_dir() { # GO MODULE@VERSION -> the directory of its source
    GOTOOLCHAIN=local "$1" mod download -json "$2" | sed -n 's/^\t"Dir": "\(.*\)".*/\1/p' | grep . || die "the Go module proxy did not give $2"
}

# Writes go.mod of a module that builds programs of another as that one's own go.mod says, which
# `go install` refuses where it replaces modules. A module that it replaces by a folder beside it is
# taken at the version that it requires; Kubernetes requires none of its own, hence STAGING.
go_wrapper() { # GO MODULE VERSION [STAGING-VERSION]
    local source
    source=$(go_module_dir "$1" "$2@v$3")
    {
        printf 'module lab.example.com/build\n'
        grep -E '^(go|godebug) ' "$source/go.mod"
        printf 'require %s v%s\nreplace (\n' "$2" "$3"
        sed -n 's/^replace \([^(]\)/\1/; s,//.*,,; /=>/p' "$source/go.mod" |
            sed -E '/=> \./d'
        [[ -z ${4:-} ]] || staging_modules "$1" "$4" "$source/go.mod"
        printf ')\n'
    } >go.mod
}

# Kubernetes' modules that lie in its own repository, at VERSION or the nearest before it that the
# proxy serves. Of the samples any patch of the minor will do: only the conformance tests import one.
# Where none is served, an empty module stands in.
staging_modules() { # GO VERSION GO.MOD -> lines of a `replace` block
    local module version
    sed -nE 's,^\s*(\S+) => \./staging/src/.*,\1,p' "$3" | while read -r module; do
        if version=$(nearest_served "$1" "$module" "$2"); then
            [[ $version == "$2" ]] || say "$module $2 is not served, $version stands in for it"
            printf '%s => %s v%s\n' "$module" "$module" "$version"
        elif [[ $module != */sample-* ]]; then
            die "the Go module proxy serves no patch of $module ${2%.*} up to $2"
        elif version=$(first_served_after "$1" "$module" "$2"); then
            say "$module $2 is not served, $version stands in for it"
            printf '%s => %s v%s\n' "$module" "$module" "$version"
        else
            mkdir -p "${module##*/}"
            printf 'module %s\n' "$module" >"${module##*/}/go.mod"
            printf '%s => ./%s\n' "$module" "${module##*/}"
        fi
    done
}

# The version, or the nearest patch before it, that the proxy serves.
nearest_served() { # GO MODULE VERSION
    local patch
    for ((patch = ${3##*.}; patch >= 0; patch--)); do
        if is_served "$1" "$2" "${3%.*}.$patch"; then
            printf '%s.%s\n' "${3%.*}" "$patch"
            return
        fi
    done
    return 1
}

# The nearest of the ten patches after the version that the proxy serves.
first_served_after() { # GO MODULE VERSION
    local patch
    for ((patch = ${3##*.} + 1; patch <= ${3##*.} + 10; patch++)); do
        if is_served "$1" "$2" "${3%.*}.$patch"; then
            printf '%s.%s\n' "${3%.*}" "$patch"
            return
        fi
    done
    return 1
}

# Asked outside any module.
is_served() { # GO MODULE VERSION
    (cd / && GOTOOLCHAIN=local "$1" mod download "$2@v$3") >/dev/null 2>&1
}

go_build() { # GO GO-BUILD-ARGS...
    go_compile "$1" build "${@:2}"
}

go_test_binary() { # GO GO-TEST-ARGS...
    go_compile "$1" test -c "${@:2}"
}

# The compiler collects its garbage less often than by Go's default: memory is available, time is short.
go_compile() { # GO VERB...
    GOGC=400 GOTOOLCHAIN=local GOFLAGS='-mod=mod -trimpath' CGO_ENABLED=${CGO_ENABLED:-0} "$@"
}

# What makes a program of Kubernetes say its version.
kubernetes_link_flags() { # VERSION
    local package fields=(gitVersion="v$1" gitMajor=1 gitMinor="$(cut -d. -f2 <<<"$1")" gitTreeState=archive buildDate=1970-01-01T00:00:00Z)
    printf -- '-s -w'
    for package in k8s.io/{client-go/pkg,component-base}/version; do
        printf -- ' -X %s' "${fields[@]/#/$package.}"
    done
}

# ---- what a part puts into the mirror ----------------------------------------------------------
# OUT/http/HOST/PATH is a file as it lies on the real host, OUT/components lists them for the
# catalog: component, version, platform, URL. OUT/images/N is an OCI image layout, and
# OUT/image-names lists them: N, reference, licence, roles (with commas).

offer() { # OUT COMPONENT VERSION PLATFORM URL  < content
    local path=$1/http/${5#https://}
    mkdir -p "$(dirname "$path")"
    cat >"$path"
    printf '%s %s %s %s\n' "$2" "$3" "$4" "$5" >>"$1/components"
}

# ---- reproducible archives ---------------------------------------------------------------------

tar_plain() { # DIR NAME... -> tar on stdout that depends on names, modes and contents alone
    local dir=$1
    shift
    tar -C "$dir" --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - "$@"
}

tar_gz() { # DIR NAME... -> the same, compressed
    tar_plain "$@" | gzip -n -6
}
