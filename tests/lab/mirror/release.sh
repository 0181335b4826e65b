# What belongs to a Kubernetes release: the row of the built-in catalog. Sourced after lib.sh.

# Those that every change is tested with: the one of the project's brief, and the newest that is served.
tested_releases() { printf '%s\n' 1.25.2 1.36.3; }

# One release of each minor, for every night: the newest row of the built-in catalog that the Go module
# proxy serves, the oldest minor as with every change, and the newest minor that is served.
minor_releases() {
    printf '%s\n' 1.25.2 1.26.15 1.27.16 1.28.15 1.29.15 1.30.14 1.31.14 1.32.13 1.33.13 1.34.10 1.35.4 1.36.3 1.37.2
}

RELEASES=$MIRROR_SRC/../../../manifests/catalog/releases.yaml

# The lines of a release, without the release's own. One that the built-in catalog does not have is paired
# as its newest, but for what its own kubeadm names (cmd/kubeadm/app/constants/constants.go).
release_row() { # VERSION
    case $1 in
        1.37.2) catalog_row 1.36.3 | sed 's/1\.36\.3/1.37.2/; s/etcd: .*/etcd: 3.7.0/; s/crictl: .*/crictl: 1.37.0/; s,/coredns:v.*,/coredns:v1.14.6,' ;;
        *) catalog_row "$1" ;;
    esac
}

has_catalog_row() { grep -qxF "  $1:" "$RELEASES"; } # VERSION

catalog_row() { # VERSION
    awk -v start="  $1:" '$0 == start { inside = 1; next } /^  [^ ]/ { inside = 0 } inside' "$RELEASES" | grep . ||
        die "the built-in catalog has no Kubernetes $1" "versions are those of manifests/catalog/releases.yaml"
}

paired_components() { # VERSION -> NAME VERSION, one a line
    release_row "$1" | sed -n '/^    components:/,/^    [^ ]/s/^      \([^ ]*\): \(.*\)$/\1 \2/p'
}

# The same, as far as they can be had.
release_components() { paired_components "$1" | map_served | with_helm_if_wanted; } # VERSION

# Charts alone need it, and it takes minutes to build.
with_helm_if_wanted() { if [[ -n $HELM ]]; then cat; else sed '/^helm /d'; fi; }

# What the Go module proxy does not serve in all its parts, and the nearest that it does: a patch of the same minor, or of
# crictl, which speaks to older runtimes, a newer one. `fill` says so.
map_served() {
    sed -E '
        s/^crictl (1\.2[0-9]|1\.3[0-35])\..*/crictl 1.36.0/
        s/^containerd 2\.0\.6$/containerd 2.0.7/
        s/^etcd 3\.5\.24$/etcd 3.5.33/'
}

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
# Whether the mirror has helm; likewise.
HELM=
# The parts of the add-ons that the mirror has; likewise.
ADDONS=()

# Every add-on beside those, at the newest version that the Go module proxy serves and the lab was used with.
addon_parts() {
    printf '%s\n' metrics-server@0.8.0 metallb@0.15.2 local-path-provisioner@0.0.30 traefik@3.7.13 prometheus@3.16.0
}

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
        [[ ${#ADDONS[@]} -eq 0 ]] || printf '%s\n' "${ADDONS[@]}"
    } | awk '!seen[$0]++'
}
