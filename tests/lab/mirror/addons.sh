# What the parts of add-ons share. Sourced after images.sh.

# Says which add-on the part is and where its manifest lies upstream, and puts the manifest there.
addon_manifest_of() { # OUT VERSION URL PROJECT  < content
    local path=$1/http/${3#https://}
    mkdir -p "$(dirname "$path")"
    cat >"$path"
    printf '%s %s %s\n' "$2" "$(basename "$3")" "$3" >"$1/manifest"
    printf '%s\n' "$4" >"$1/project"
}

# The module's source, which its own go.mod describes, in a folder that can be written to.
addon_source() { # MODULE@VERSION DIR
    cp -r "$(go_module_dir "$(new_go)" "$1")" "$2"
    chmod -R u+w "$2"
}
