# Writes OCI image layouts that depend on their content alone. Sourced after lib.sh.
#
# Layers are compressed by gzip itself: Go's and GNU's gzip streams can be rebuilt from the
# uncompressed bytes, those of parallel writers cannot, and upstream's images are of the first kind.

MEDIA=application/vnd.oci.image

oci_begin() { # LAYOUT
    mkdir -p "$1/blobs/sha256"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
    : >"$1/.platforms"
}

# Puts stdin into the layout as a blob and prints its descriptor without the closing brace.
oci_blob() { # LAYOUT MEDIA-TYPE
    local aside=$1/blobs/.aside digest
    cat >"$aside"
    digest=$(sha256sum "$aside" | cut -d ' ' -f 1)
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%d' "$2" "$digest" "$(stat -c %s "$aside")"
    mv "$aside" "$1/blobs/sha256/$digest"
}

# Adds one platform's image. CONFIG is the OCI config object, lowest layer first.
oci_platform() { # LAYOUT ARCHITECTURE CONFIG LAYER-DIR...
    local layout=$1 arch=$2 config=$3 dir layers=() diffs=() descriptor
    shift 3
    for dir in "$@"; do
        diffs+=("\"sha256:$(tar_plain "$dir" . | sha256sum | cut -d ' ' -f 1)\"")
        layers+=("$(tar_gz "$dir" . | oci_blob "$layout" "$MEDIA.layer.v1.tar+gzip")}")
    done
    config=$(printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":[%s]}}' \
        "$arch" "$config" "$(comma "${diffs[@]}")" | oci_blob "$layout" "$MEDIA.config.v1+json")}
    descriptor=$(printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' \
        "$MEDIA.manifest.v1+json" "$config" "$(comma "${layers[@]}")" | oci_blob "$layout" "$MEDIA.manifest.v1+json")
    printf '%s,"platform":{"architecture":"%s","os":"linux"}}\n' "$descriptor" "$arch" >>"$layout/.platforms"
}

# Wraps the platforms in an image index, whose digest is what a tag resolves to.
oci_end() { # LAYOUT
    local descriptor
    descriptor=$(printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}' \
        "$MEDIA.index.v1+json" "$(paste -sd , "$1/.platforms")" | oci_blob "$1" "$MEDIA.index.v1+json")
    printf '{"schemaVersion":2,"manifests":[%s,"annotations":{"org.opencontainers.image.ref.name":"image"}}]}' "$descriptor" >"$1/index.json"
    rm "$1/.platforms"
}

comma() { (IFS=,; printf '%s' "$*"); }
