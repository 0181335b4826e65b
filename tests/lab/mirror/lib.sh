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

# A loud notice about something that a part is without; `fill` says it again whenever it ends.
notice() { # OUT TEXT
    printf '*** NOTICE: %s\n' "$2" | tee "$1/NOTICE" >&2
}

# ---- parts -------------------------------------------------------------------------------------
# A part is a script in parts/ with two verbs:
#   parts/NAME version     prints what decides the content, besides the script itself
#   parts/NAME build DIR   makes the content in DIR, which exists and is empty
# Its result is kept as $CACHE/parts/NAME-KEY. It is built aside and renamed, so that
# what has the final name is whole.

part_dir() { # NAME -> the directory that holds (or will hold) the part
    local key
    key=$({ cat "$MIRROR_SRC/parts/$1"; "$MIRROR_SRC/parts/$1" version; } | sha256sum)
    printf '%s/parts/%s-%.12s\n' "$CACHE" "$1" "$key"
}

# Changes to a scratch directory in the cache (where there is room), removed when the script ends.
in_work_dir() {
    WORK=$(mktemp -d -p "$CACHE" work.XXXXXX)
    trap 'chmod -R u+w "$WORK"; rm -rf --one-file-system "$WORK"' EXIT
    cd "$WORK"
}

part() { # NAME -> builds the part where it is missing, prints its directory
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
            if ! "$MIRROR_SRC/parts/$name" build "$aside" >"$log" 2>&1; then
                rm -rf --one-file-system "$aside"
                tail -n 40 "$log" >&2
                die "part $name was not built" "the whole log is $log"
            fi
            sync -f "$aside"
            mv -T "$aside" "$dir"
            printf '%-14s built in %4d s\n' "$name" $((SECONDS - started)) >&2
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
drop_old_parts() { # NAME...
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

deb_source_version() { # SOURCE-PACKAGE
    remembered "source:$1" apt_private apt-cache showsrc --only-source "$1"
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

# 1.6.20~ds1-1+deb12u3 -> 1.6.20, 2:1.35.0-4 -> 1.35.0, 1.20.5+really1.20.2-1.1 -> 1.20.2
upstream_version() { # DEBIAN-VERSION
    printf '%s\n' "$1" | sed -E 's/^[0-9]+://; s/-[^-]*$//; s/.*\+really//; s/[~+].*//'
}

unpack_deb() { # PACKAGE[:ARCH] DIR
    local aside
    aside=$(mktemp -d)
    (cd "$aside" && apt_private apt-get download "$1")
    mkdir -p "$2"
    dpkg-deb -x "$aside"/*.deb "$2"
    rm -r "$aside"
}

# Unpacks Debian's Kubernetes source as gopath/src/k8s.io/kubernetes below the working directory.
#
# Debian's Go 1.19 needs a newer modern-go/reflect2 than the tree vendors: with 1.0.1 kubeadm
# dies of a nil pointer at run time. Debian's own package of it takes its place.
unpack_kubernetes_source() {
    local tree=gopath/src/k8s.io/kubernetes
    apt_private apt-get source --only-source "kubernetes=$(deb_source_version kubernetes)"
    mkdir -p "$(dirname "$tree")"
    mv kubernetes-*/ "$tree"
    rm -r "$tree/vendor/github.com/modern-go/reflect2"
    cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 "$tree/vendor/github.com/modern-go/"
}

# As Debian does: GOPATH mode, because the tree's go.mod does not agree with its vendor directory.
go_build_kubernetes() { # GO-BUILD-ARGS...
    GO111MODULE=off GOPATH=$PWD/gopath CGO_ENABLED=0 /usr/lib/go-1.19/bin/go build -trimpath "$@"
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
