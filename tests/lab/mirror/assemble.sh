# Lays the parts out as one mirror and writes its catalog. Sourced by `fill`.

# Replaces the link `mirror` by one to a new tree, unless the tree for these parts is there.
assemble() { # KUBERNETES-VERSION...
    local key tree aside name
    mapfile -t MIRRORED < <(mirrored_parts "$@")
    key=$({ for name in "${MIRRORED[@]}"; do basename "$(part_dir "$name")"; done; cat "$MIRROR_SRC"/{assemble.sh,components.yaml,lab-test.yaml}; } | sha256sum)
    tree=$(printf 'mirrors/%.12s' "$key")
    if [[ ! -d $CACHE/$tree ]]; then
        mkdir -p "$CACHE/mirrors"
        aside=$(mktemp -d "$CACHE/mirrors/.aside.XXXXXX")
        chmod 755 "$aside"
        lay_out "$aside" "$@"
        sync -f "$aside"
        mv -T "$aside" "$CACHE/$tree"
        touch "$CACHE/$tree"
    fi
    point mirror "$tree"
    drop_old_trees
}

# The one before may still be served.
drop_old_trees() {
    local old
    (cd "$CACHE/mirrors" && ls -dt ????????????) | tail -n +3 | while read -r old; do
        rm -rf --one-file-system "${CACHE:?}/mirrors/$old"
    done
}

lay_out() { # DIR KUBERNETES-VERSION...
    local name dir
    mkdir -p "$1/http" "$1/registry"
    for name in "${MIRRORED[@]}"; do
        dir=$(part_dir "$name")
        [[ ! -d $dir/http ]] || cp -al "$dir/http/." "$1/http/"
        [[ ! -d $dir/conformance ]] || cp -al "$dir/conformance" "$1/"
        [[ ! -e $dir/components ]] || cat "$dir/components" >>"$1/components"
    done
    install -D -m 644 "$MIRROR_SRC/lab-test.yaml" "$1/http/lab.example.com/lab-test.yaml"
    push_images "$1"
    write_catalog "$@" >"$1/catalog.yaml"
}

# Pushes every layout into a registry that stores in DIR and runs only as long as this takes.
push_images() { # DIR
    local port=5117 registry config=$1/registry-fill.yaml name dir number reference licence roles digest
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%d"}\n' \
        "$1/registry" "$port" >"$config"
    docker-registry serve "$config" >"$CACHE/log/registry.log" 2>&1 &
    registry=$!
    # shellcheck disable=SC2064
    trap "kill $registry 2>/dev/null || true" EXIT
    timeout 20 bash -c "until (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; do sleep 0.1; done" ||
        die "the registry did not start" "see $CACHE/log/registry.log"
    for name in "${MIRRORED[@]}"; do
        dir=$(part_dir "$name")
        [[ -e $dir/image-names ]] || continue
        while read -r number reference licence roles; do
            skopeo --insecure-policy copy -q --all --preserve-digests --dest-tls-verify=false \
                "oci:$dir/images/$number:image" "docker://127.0.0.1:$port/$reference"
            digest=$(registry_digest "127.0.0.1:$port" "$reference")
            printf '%s %s %s %s\n' "$reference" "$digest" "$licence" "$roles" >>"$1/images"
        done <"$dir/image-names"
    done
    kill "$registry"
    wait "$registry" || true
    trap - EXIT
    rm "$config"
}

registry_digest() { # SERVER REFERENCE -> the digest that the tag resolves to
    curl -fsS -I -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$1/v2/${2%:*}/manifests/${2##*:}" |
        tr -d '\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p' | grep -x 'sha256:[0-9a-f]\{64\}'
}

# ---- the catalog ----

# What no file in the mirror tells comes from components.yaml: kind, licence, project, roles.
write_catalog() { # DIR KUBERNETES-VERSION...
    local component version
    printf '# Written by tests/lab/mirror/fill: the lab'"'"'s mirror as it is.\nschema: 1\ncomponents:\n'
    for component in $(cut -d ' ' -f 1 "$1/components" | sort -u); do
        printf '  %s:\n' "$component"
        sed -n "/^$component:/,/^[^ ]/{/^ /s/^/  /p}" "$MIRROR_SRC/components.yaml" | grep . ||
            die "components.yaml does not know $component"
        printf '    versions:\n'
        for version in $(awk -v c="$component" '$1 == c { print $2 }' "$1/components" | sort -u); do
            printf '      %s:\n        pinned-by: the lab'"'"'s mirror, from the file it serves\n        platforms:\n' "$version"
            catalog_platforms "$1" "$component" "$version"
        done
    done
    catalog_addons "$1"
    printf 'releases:\n'
    for version in "${@:2}"; do catalog_release "$1" "$version"; done
}

catalog_platforms() { # DIR COMPONENT VERSION
    local platform url
    awk -v c="$2" -v v="$3" '$1 == c && $2 == v { print $3, $4 }' "$1/components" | while read -r platform url; do
        printf '          %s: {url: "%s", sha256: "%s"}\n' "$platform" "$url" "$(file_sha256 "$1/http/${url#https://}")"
    done
}

catalog_addons() { # DIR
    local part
    printf 'addons:\n'
    catalog_addon "$1" lab-test addon https://busybox.net "$(image_version "$1" docker.io/library/busybox) lab-test.yaml https://lab.example.com/lab-test.yaml" \
        '$4 == "test"' '[control-plane, worker]'
    [[ -z $KUBE_VIP ]] || catalog_addon "$1" kube-vip addon https://github.com/kube-vip/kube-vip "$(kube_vip_version "$1")" '$1 ~ /kube-vip/'
    catalog_addon "$1" haproxy load-balancer https://www.haproxy.org "$(image_version "$1" docker.io/library/haproxy)" '$1 ~ /haproxy/'
    catalog_addon "$1" flannel cni https://github.com/flannel-io/flannel "$(addon_manifest flannel)" '$1 ~ /flannel/'
    catalog_addon "$1" calico cni https://github.com/projectcalico/calico "$(addon_manifest calico)" '$1 ~ /calico/'
    for part in "${ADDONS[@]}"; do catalog_addon "$1" "${part%@*}" addon "$(cat "$(part_dir "$part")/project")" "$(addon_manifest "${part%@*}")" "$(is_image_of "$part")"; done
    catalog_conformance "$1"
}

# The images of a part, as a condition for awk.
is_image_of() { # PART
    cut -d ' ' -f 2 "$(part_dir "$1")/image-names" | sed 's/.*/$1 == "&"/' | paste -sd '|' | sed 's/|/ || /g'
}

# What e2e.test of each Kubernetes version runs in its pods.
catalog_conformance() { # DIR
    local version reference
    [[ ${#CONFORMANCE[@]} -gt 0 ]] || return 0
    printf '  conformance-images:\n    kind: addon\n    project: https://github.com/kubernetes/kubernetes\n    versions:\n'
    for version in "${CONFORMANCE[@]}"; do
        printf '      %s:\n        manifests: []\n        images:\n' "$version"
        cut -d ' ' -f 2 "$(part_dir "conformance@$version")/image-names" | while read -r reference; do
            catalog_images "$1" "\$1 == \"$reference\"" '          '
        done
    done
}

# One add-on. Images that no role needs are there to be run by tests.
catalog_addon() { # DIR NAME KIND PROJECT "VERSION [FILE URL]" AWK-CONDITION-OF-IMAGES [ROLES]
    local version file url
    read -r version file url <<<"$5"
    printf '  %s:\n    kind: %s\n    project: %s\n    versions:\n      %s:\n' "$2" "$3" "$4" "$version"
    if [[ -n $url ]]; then
        printf '        manifests:\n          - {name: %s, url: "%s", sha256: "%s"}\n' "$file" "$url" "$(file_sha256 "$1/http/${url#https://}")"
    else
        printf '        manifests: []\n'
    fi
    printf '        images:\n'
    catalog_images "$1" "$6" '          ' "${7:-}"
}

catalog_release() { # DIR VERSION
    local component version reference roles part
    printf '  %s:\n    components:\n' "$2"
    release_components "$2" | while read -r component version; do printf '      %s: %s\n' "$component" "$version"; done
    printf '    images:\n'
    release_images "$2" | while read -r reference roles; do catalog_images "$1" "\$1 == \"$reference\"" '      '; done
    printf '    addons:\n      lab-test: %s\n' "$(image_version "$1" docker.io/library/busybox)"
    [[ " ${CONFORMANCE[*]} " != *" $2 "* ]] || printf '      conformance-images: %s\n' "$2"
    [[ -z $KUBE_VIP ]] || printf '      kube-vip: %s\n' "$(kube_vip_version "$1")"
    for part in "${ADDONS[@]}"; do printf '      %s: %s\n' "${part%@*}" "${part#*@}"; done
    printf '      haproxy: %s\n' "$(image_version "$1" docker.io/library/haproxy)"
    printf '      flannel: %s\n' "$(cut -d ' ' -f 1 <<<"$(addon_manifest flannel)")"
    printf '      calico: %s\n' "$(cut -d ' ' -f 1 <<<"$(addon_manifest calico)")"
}

catalog_images() { # DIR AWK-CONDITION INDENT [ROLES]
    local reference digest licence roles
    awk "$2" "$1/images" | awk '!seen[$1]++' | while read -r reference digest licence roles; do
        printf '%s- {reference: "%s", digest: "%s", licence: %s, roles: %s}\n' \
            "$3" "$reference" "$digest" "$licence" "${4:-[${roles//,/, }]}"
    done
}

addon_manifest() { # NAME -> VERSION FILE URL, as its part has them
    local name
    for name in "${MIRRORED[@]}"; do [[ ${name%@*} != "$1" ]] || cat "$(part_dir "$name")/manifest"; done
}

kube_vip_version() { image_version "$1" ghcr.io/kube-vip/kube-vip | sed 's/^v//'; } # DIR
# The first tag of that name: an add-on may bring another.
image_version() { awk -v r="$2:" 'index($1, r) == 1 { print substr($1, length(r) + 1); exit }' "$1/images"; } # DIR NAME
file_sha256() { sha256sum "$1" | cut -d ' ' -f 1; }
