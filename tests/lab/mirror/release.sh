# What belongs to a Kubernetes release: the row of the built-in catalog. Sourced after lib.sh.

# Those that every change is tested with: the one of the project's brief, and the newest that is served.
tested_releases() { printf '%s\n' 1.25.2 1.36.3; }

RELEASES=$MIRROR_SRC/../../../manifests/catalog/releases.yaml

# The lines of a release, without the release's own.
release_row() { # VERSION
    awk -v start="  $1:" '$0 == start { inside = 1; next } /^  [^ ]/ { inside = 0 } inside' "$RELEASES" | grep . ||
        die "the built-in catalog has no Kubernetes $1" "versions are those of manifests/catalog/releases.yaml"
}

catalog_components() { # VERSION -> NAME VERSION, one a line
    release_row "$1" | sed -n '/^    components:/,/^    [^ ]/s/^      \([^ ]*\): \(.*\)$/\1 \2/p'
}

# The same, as far as they can be had.
release_components() { catalog_components "$1" | map_served; } # VERSION

# Not every version of crictl is served as a Go module; a newer one speaks to older runtimes. `fill` says so.
map_served() { sed -E 's/^crictl (1\.2[0-9]|1\.3[0-35])\..*/crictl 1.36.0/'; }

release_images() { # VERSION -> REFERENCE ROLES (with commas), one a line
    release_row "$1" | awk '
        /^    - reference: / { if (reference) print reference, roles; reference = $3; roles = "" }
        /^      - / { roles = roles (roles ? "," : "") $2 }
        /^    addons:/ { exit }
        END { if (reference) print reference, roles }'
}

coredns_version() { release_images "$1" | sed -n 's,.*/coredns:v\([^ ]*\) .*,\1,p'; } # VERSION

# Those whose conformance tests the mirror has too; `fill` sets it.
CONFORMANCE=()
# Whether the mirror has kube-vip; likewise.
KUBE_VIP=

# All parts of a mirror with these releases, one a line; the longest builds first.
mirrored_parts() { # VERSION...
    local version
    {
        printf 'kubernetes@%s\n' "$@"
        printf 'calico\n'
        [[ ${#CONFORMANCE[@]} -eq 0 ]] || printf 'conformance@%s\n' "${CONFORMANCE[@]}"
        for version in "$@"; do
            printf 'coredns@%s\n' "$(coredns_version "$version")"
            release_components "$version" | grep -v ^kube | tr ' ' '@'
        done
        printf '%s\n' flannel@0.28.4 ${KUBE_VIP:+kube-vip} busybox haproxy
        printf 'kubernetes-images@%s\n' "$@"
    } | awk '!seen[$0]++'
}
