# Shell functions that make and test the packages of a release. Sourced by ci/release, in the repository's root.

# A tar of a folder without anything of this machine in it, on standard output.
reproducible_tar() {
    tar -C "$1" --create --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" .
}

description_of() {
    case "$1" in
        kbundle) echo "Builds, signs, verifies and shows offline Kubernetes bundles" ;;
        kinstall) echo "Sets up Kubernetes from an offline bundle, on one host or many" ;;
    esac
}

# make_deb PROGRAM VERSION ARCHITECTURE ROOT OUT
make_deb() {
    local program="$1" version="$2" architecture="$3" root="$4" out="$5" build="$work/deb/$1-$3"
    mkdir -p "$build/DEBIAN"
    cp -a "$root/." "$build/"
    cat >"$build/DEBIAN/control" <<END
Package: $program
Version: $version
Architecture: $architecture
Maintainer: ${KBUNDLE_MAINTAINER:-$(git log -1 --format='%an <%ae>')}
Installed-Size: $(du -sk --apparent-size "$root" | cut -f 1)
Section: admin
Priority: optional
Description: $(description_of "$program")
 A static program: it depends on no library and no package.
END
    touch --date "@$SOURCE_DATE_EPOCH" "$build/DEBIAN/control" "$build/DEBIAN" "$build"
    dpkg-deb --root-owner-group -Zxz --build "$build" "$out/${program}_${version}_$architecture.deb" >/dev/null
}

# make_rpm PROGRAM VERSION ARCHITECTURE ROOT OUT
make_rpm() {
    local program="$1" version="$2" architecture="$3" root="$PWD/$4" out="$5" top="$PWD/$work/rpm/$1-$3" machine
    case "$architecture" in
        amd64) machine=x86_64 ;;
        arm64) machine=aarch64 ;;
    esac
    mkdir -p "$top"
    cat >"$top/$program.spec" <<END
Name: $program
Version: $version
Release: 1
Summary: $(description_of "$program")
License: Apache-2.0
AutoReqProv: no
%define _build_id_links none
%define __os_install_post %{nil}
%define _buildhost localhost
%define use_source_date_epoch_as_buildtime 1
%define clamp_mtime_to_source_date_epoch 1
%description
$(description_of "$program").
A static program: it depends on no library and no package.
%install
cp -a $root/. %{buildroot}/
%files
%defattr(-,root,root)
/usr/bin/$program
/usr/share/man/man1/*
/usr/share/bash-completion/completions/$program
/usr/share/zsh/vendor-completions/_$program
/usr/share/fish/vendor_completions.d/$program.fish
/usr/share/doc/$program
END
    rpmbuild --quiet -bb --target "$machine" --define "_topdir $top" --define "_rpmdir $top/out" "$top/$program.spec" 2>"$top/log" ||
        { cat "$top/log" >&2; return 1; }
    mv "$top/out/$machine/"*.rpm "$out/"
}

# Puts a file into the layout's blobs; prints `"digest":"…","size":…` of it.
blob() {
    local layout="$1" file="$2" digest
    digest="$(sha256sum "$file" | cut -d ' ' -f 1)"
    mkdir -p "$layout/blobs/sha256"
    install -m 644 "$file" "$layout/blobs/sha256/$digest"
    printf '"digest":"sha256:%s","size":%s' "$digest" "$(stat -c %s "$file")"
}

# make_image VERSION ROOTS LAYOUT ARCHITECTURE...: an OCI image layout with an index over images of ROOTS/ARCHITECTURE.
# Source: OCI image-spec 1.1, image-layout.md, config.md, manifest.md.
make_image() {
    local version="$1" roots="$2" layout="$3" part="$2/part" manifests=() architecture created diff layer config
    shift 3
    created="$(date --utc --date "@$SOURCE_DATE_EPOCH" +%FT%TZ)"
    for architecture in "$@"; do
        reproducible_tar "$roots/$architecture" >"$part"
        diff="sha256:$(sha256sum "$part" | cut -d ' ' -f 1)"
        gzip -9n <"$part" >"$part.gz"
        layer="$(blob "$layout" "$part.gz")"
        jq -cjn --arg architecture "$architecture" --arg created "$created" --arg diff "$diff" --arg version "$version" '{
            architecture: $architecture, os: "linux", created: $created,
            config: {Entrypoint: ["/usr/bin/kbundle"], WorkingDir: "/tmp", Labels: {"org.opencontainers.image.version": $version}},
            rootfs: {type: "layers", diff_ids: [$diff]}, history: [{created: $created, created_by: "ci/release"}]}' >"$part"
        config="$(blob "$layout" "$part")"
        printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",%s}]}' \
            "$config" "$layer" >"$part"
        manifests+=("{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",$(blob "$layout" "$part"),\"platform\":{\"os\":\"linux\",\"architecture\":\"$architecture\"}}")
    done
    (IFS=,; printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "${manifests[*]}") >"$part"
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json",%s,"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}' \
        "$(blob "$layout" "$part")" "$version" >"$layout/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
}

# test_programs FOLDER RUNNER SCRATCH: what the programs of an architecture say of themselves and of a small bundle, good and damaged.
test_programs() {
    local folder="$1" runner="$2" scratch="$3" program commit code
    commit="$(git rev-parse --short=12 HEAD)"
    mkdir -p "$scratch/files"
    cp LICENSE README.md Cargo.lock "$scratch/files/"
    cargo run --quiet --locked -p kbundle-format --example measure -- pack "$scratch/files" "$scratch/bundle" 3
    for program in kbundle kinstall; do
        $runner "$folder/$program" --version | tee "$scratch/version"
        grep -q "^$program $version (commit $commit" "$scratch/version" || fail "$folder/$program does not tell its version and commit"
        $runner "$folder/$program" verify "$scratch/bundle" --key "$scratch/bundle.pub"
    done
    # Into files: a program whose reader ends early may fail.
    $runner "$folder/kbundle" inspect "$scratch/bundle" --key "$scratch/bundle.pub" >"$scratch/inspected"
    grep -q 'signature  verified' "$scratch/inspected" || fail "$folder/kbundle does not inspect a bundle"
    $runner "$folder/kinstall" manual troubleshooting >"$scratch/page"
    grep -q '^# Troubleshooting' "$scratch/page" || fail "$folder/kinstall has no manual"
    # One byte in the middle.
    cp "$scratch/bundle" "$scratch/damaged"
    printf 'x' | dd of="$scratch/damaged" bs=1 seek="$(($(stat -c %s "$scratch/damaged") / 2))" conv=notrunc status=none
    for program in kbundle kinstall; do
        code=0
        $runner "$folder/$program" verify "$scratch/damaged" --key "$scratch/bundle.pub" 2>/dev/null || code=$?
        [ "$code" = 3 ] || fail "$folder/$program ended with $code for a damaged bundle instead of 3"
    done
}

# What each package has to hold.
contents_of() {
    local program="$1"
    printf '%s\n' "/usr/bin/$program" "/usr/share/man/man1/$program.1.gz" "/usr/share/bash-completion/completions/$program" \
        "/usr/share/zsh/vendor-completions/_$program" "/usr/share/fish/vendor_completions.d/$program.fish" \
        "/usr/share/doc/$program/copyright" "/usr/share/doc/$program/CHANGELOG.md"
}

# holds LIST PROGRAM WHAT: LIST has every path that the package of PROGRAM has to hold.
holds() {
    local missing
    missing="$(contents_of "$2" | grep -vxF -f <(printf '%s\n' "$1") || true)"
    [ -z "$missing" ] || fail "$3 lacks $(echo "$missing" | paste -sd ' ')"
}

# Installs each deb into an empty root, and lists each rpm and archive.
test_packages() {
    local program architecture root deb rpm
    for program in "${programs[@]}"; do
        for architecture in "${architectures[@]}"; do
            root="$PWD/$work/installed/$program-$architecture" deb="$out/${program}_${version}_$architecture.deb"
            mkdir -p "$root/var/lib/dpkg/"{info,updates}
            touch "$root/var/lib/dpkg/"{status,available}
            dpkg --root "$root" --force-architecture --force-not-root --force-bad-path --log /dev/null --install "$deb" >/dev/null
            holds "$(cd "$root" && find . -type f | sed 's/^\.//')" "$program" "$deb"
            cmp "$root/usr/bin/$program" "$(dist_of "$architecture")/$program"
            dpkg --root "$root" --force-not-root --force-bad-path --log /dev/null --remove "$program" >/dev/null
            [ ! -e "$root/usr/bin/$program" ] || fail "$deb leaves $program behind when it is removed"
            holds "$(tar -tzf "$out/$program-$version-linux-$architecture.tar.gz" | sed 's/^\.//')" "$program" "the archive for $architecture"
        done
        for rpm in "$out/$program"-*.rpm; do
            holds "$(rpm -qlp "$rpm")" "$program" "$rpm"
            [ -z "$(rpm -qp --requires "$rpm" | grep -v '^rpmlib(' || true)" ] || fail "$rpm requires other packages"
        done
    done
}

# skopeo reads the image of each architecture, and the programs in it are those of the release.
test_image() {
    local architecture layer
    for architecture in "${architectures[@]}"; do
        rm -rf "$work/copied"
        skopeo copy --quiet --override-arch "$architecture" "oci-archive:$out/kbundle-$version.oci.tar:$version" "dir:$work/copied"
        layer="$work/copied/$(jq -r '.layers[0].digest | ltrimstr("sha256:")' "$work/copied/manifest.json")"
        mkdir -p "$work/copied/root"
        tar -xzf "$layer" -C "$work/copied/root"
        cmp "$work/copied/root/usr/bin/kbundle" "$(dist_of "$architecture")/kbundle"
    done
}

test_signature() {
    (cd "$out" && sha256sum --quiet --check SHA256SUMS)
    [ -n "$key" ] || return 0
    base64 -d "$out/SHA256SUMS.sig" >"$work/sums.der"
    openssl pkey -in "$key" -pubout -out "$work/sums.pub"
    openssl dgst -sha256 -verify "$work/sums.pub" -signature "$work/sums.der" "$out/SHA256SUMS"
}
