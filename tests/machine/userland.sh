# Debian's systemd, D-Bus and podman, with what they need, for tests/machine.sh --systemd.
# Sourced there: uses its `fail`, `need`, $cache and $work.

userland_packages=(systemd dbus dbus-user-session podman uidmap)

# What none of the tests reads of any package, some 100 MB of it.
userland_without=('./usr/share/*/doc' ./usr/share/{doc,info,locale,man,perl,perl5,zsh} '*/perl*' '*/gconv')

# Prints the cpio archive of the userland; fetches the packages the first time. Its name
# has the recipe's checksum in it, so that a change of this file makes a new one.
userland() {
    local archive
    archive=$cache/userland-$(cksum <"$here/machine/userland.sh" | tr ' ' -).cpio
    [ -f "$archive" ] || fetch_userland "$archive"
    echo "$archive"
}

fetch_userland() {
    mkdir -p "$cache"
    unpack "$work/userland" "${userland_packages[@]}"
    archive "$work/userland" "$work/cpio"
    rm -r "$work/userland"
    rm -f "$cache"/userland-*.cpio # of older recipes
    mv "$work/cpio" "$1" || fail "cannot write $1"
}

# unpack FOLDER PACKAGE...: with all that they depend on, a root file system. Packages are
# unpacked, not installed: no program of theirs is run here. apt is told that nothing is
# installed yet, so that it names all that they depend on.
unpack() {
    local package root=$1 debs=$1.debs
    shift
    need apt-get apt
    need dpkg-deb dpkg
    echo "machine: fetching $* and what they depend on" >&2
    mkdir -p "$debs/partial" "$root"/usr/{bin,sbin,lib,lib64}
    for name in bin sbin lib lib64; do
        ln -s "usr/$name" "$root/$name"
    done
    apt-get -qq -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Dir::State::status=/dev/null \
        -o Dir::Cache::archives="$debs" --download-only --no-install-recommends \
        install "$@" >&2 ||
        fail "apt-get could not fetch $*; its index may be old: apt-get update"
    for package in "$debs"/*.deb; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -x --keep-directory-symlink -C "$root" "${userland_without[@]/#/--exclude=}"
    done
    rm -r "$debs"
}
