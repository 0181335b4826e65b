# What the parts with images share: layers out of Debian's tree, and one call for an image of one
# platform. Sourced after lib.sh; the caller stands in a scratch directory.

source "$MIRROR_SRC/oci.sh"

PATH_ENV='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]'
# Found once: each look at a part's key takes a moment.
DEBIAN_TREE=$(part_dir debian)/tree
NETFILTER_TOOLS=(usr/sbin/xtables-nft-multi usr/sbin/xtables-legacy-multi usr/sbin/nft usr/sbin/conntrack usr/sbin/ipset usr/bin/kmod)

images_key() { # what decides the content of images, besides their own part
    cat "$MIRROR_SRC"/{images,oci}.sh | sha256sum
    basename "$(part_dir debian)"
}

# Adds an image for amd64 of which stdin is the OCI config object.
image() { # OUT REFERENCE LICENCE ROLES LAYER-DIR...
    local out=$1 reference=$2 licence=$3 roles=$4 layout
    shift 4
    layout=$(new_layout "$out")
    oci_begin "$layout"
    oci_platform "$layout" amd64 "$(cat)" "$@"
    oci_end "$layout"
    name_image "$out" "$layout" "$reference" "$licence" "$roles"
}

new_layout() { # OUT -> the directory of its next layout
    touch "$1/image-names"
    printf '%s/images/%s\n' "$1" "$(wc -l <"$1/image-names")"
}

name_image() { # OUT LAYOUT REFERENCE LICENCE ROLES
    printf '%s %s %s %s\n' "$(basename "$2")" "$3" "$4" "$5" >>"$1/image-names"
}

# What upstream's distroless base gives: users and trusted certificates. Images share the layer.
base_layer() { # DIR
    mkdir -p "$1/etc/ssl/certs" "$1/tmp"
    chmod 1777 "$1/tmp"
    printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
    printf 'hosts: files dns\n' >"$1/etc/nsswitch.conf"
}

# What drives the host's netfilter: kube-proxy, Calico and Flannel. The iptables plugins count as
# programs: without the libraries that they alone need, no rule is written for a Service that has
# two endpoints.
netfilter_layer() { # DIR
    local tool name
    merged_usr "$1"
    for tool in "${NETFILTER_TOOLS[@]}"; do copy_with_libraries "$tool" "$1"; done
    for tool in "$DEBIAN_TREE"/usr/lib/x86_64-linux-gnu/xtables/*.so; do copy_with_libraries "${tool#"$DEBIAN_TREE/"}" "$1"; done
    for name in iptables ip6tables; do
        ln -s xtables-nft-multi "$1/usr/sbin/$name"
        for tool in save restore; do
            ln -s xtables-nft-multi "$1/usr/sbin/$name-$tool"
            ln -s xtables-nft-multi "$1/usr/sbin/$name-nft-$tool"
            ln -s xtables-legacy-multi "$1/usr/sbin/$name-legacy-$tool"
        done
        ln -s xtables-nft-multi "$1/usr/sbin/$name-nft"
        ln -s xtables-legacy-multi "$1/usr/sbin/$name-legacy"
    done
    ln -s ../bin/kmod "$1/usr/sbin/modprobe"
}

# ---- files out of the Debian tree ----

merged_usr() { # DIR
    local name
    mkdir -p "$1"/usr/{bin,sbin,lib,lib64}
    for name in bin sbin lib lib64; do ln -s "usr/$name" "$1/$name"; done
}

copy_with_libraries() { # PATH DIR
    local path
    { printf '/%s\n' "$1"; chroot "$DEBIAN_TREE" ldd "/$1" | grep -o '/[^ ]*'; } | sort -u | while read -r path; do
        path=$(merge_path "$path")
        [[ -e $2$path ]] || install -D -m 755 "$(resolve_in_tree "$path")" "$2$path"
    done
}

# The file that a path in the tree stands for; links there are of the tree, not of this machine.
resolve_in_tree() { printf '%s%s\n' "$DEBIAN_TREE" "$(chroot "$DEBIAN_TREE" readlink -f "$1")"; } # PATH

# /lib/x -> /usr/lib/x, as both trees have the merged layout
merge_path() {
    case $1 in
        /lib/* | /lib64/* | /bin/* | /sbin/*) printf '/usr%s\n' "$1" ;;
        *) printf '%s\n' "$1" ;;
    esac
}
