#!/bin/bash
# Runs a script in a software-emulated machine that has a full KVM (AMD SVM with
# nested paging), whatever the host has:
#
#   tests/machine.sh [--systemd] [--linux] [--cpus 2] [--memory 2G] [--timeout 300]
#       --script FILE [SRC[:DEST]]...
#
# Boots Debian's cloud kernel under QEMU's emulation, copies each SRC (a file or a
# directory) to DEST, and runs FILE with busybox's sh. DEST is /<SRC's last part> unless
# named; one that ends in / is a directory to copy into. A program brings the libraries
# that it is linked to. In there: root, /dev/kvm, cgroup v2 with its
# controllers on, a tmpfs as root, the loopback interface, no other network, and the kernel's
# modules for one and for containerd's snapshots; iproute2's ip.
#
# With --systemd the first process is Debian's systemd, with a system bus, and the script
# is one of its services; podman is there, and a user named `user` (1000) with a
# systemd, a bus and a runtime directory of its own.
#
# With --linux the kernel and some of its modules are in /linux, to be guests, in
# /linux-generic those of Debian's generic kernel, which has 9p and virtio-fs, and in /tools programs for
# them. A guest with several CPUs needs --cpus 1: QEMU's emulation of nested machines hangs with
# more.
#
# The script's output arrives on stdout, without carriage returns; its exit code is
# ours. 125: the machine failed, and one line on stderr says how.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/runu-machine
cpus=2
memory=2G
timeout=300
script=
systemd=
linux=
files=()

source "$here/machine/userland.sh"
source "$here/machine/tools.sh"

fail() {
    echo "machine: $*" >&2
    exit 125
}

usage() {
    sed -n '2,/^set/{s/^# \?//p}' "$0"
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --cpus | --memory | --timeout | --script)
            [ $# -ge 2 ] || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        --systemd) systemd=yes ;;
        --linux) linux=yes ;;
        -h | --help) usage; exit 0 ;;
        -*) fail "unknown option $1; see --help" ;;
        *) files+=("$1") ;;
        esac
        shift
    done
    [ -n "$script" ] || fail "no --script FILE; see --help"
    [ -f "$script" ] || fail "the script $script is no file"
}

# need PROGRAM PACKAGE
need() {
    command -v "$1" >/dev/null || fail "$1 is missing: apt-get install $2"
}

check_tools() {
    need qemu-system-x86_64 qemu-system-x86
    need busybox busybox-static
    need cpio cpio
    need ip iproute2
    ! ldd "$(command -v busybox)" >/dev/null 2>&1 ||
        fail "$(command -v busybox) is linked dynamically: apt-get install busybox-static"
}

# What the kernel here needs, and what it can do as a guest.
modules=(irqbypass kvm kvm-amd tun pvpanic pvpanic-mmio button virtio virtio_ring virtio_mmio
    virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio-rng virtio_blk virtio_console
    failover net_failover virtio_net vsock vmw_vsock_virtio_transport_common
    vmw_vsock_virtio_transport)
# What the kernel here needs for pods, their networks, containerd's snapshots and disks of files, in
# the order in which it takes them; ext4 is built in.
pod_modules=(tun veth llc stp bridge sch_ingress act_mirred cls_bpf overlay loop)
modules+=("${pod_modules[@]:1}")
# What the generic one needs as a guest.
generic_modules=(virtio virtio_ring virtio_mmio virtio_pci_legacy_dev virtio_pci_modern_dev
    virtio_pci virtio_blk 9pnet 9pnet_virtio fscache netfs 9p fuse virtiofs)

# kernel FLAVOUR MODULE...: prints the directory with a kernel of Debian's and its modules; fetches
# them the first time. One that was fetched with other modules does not serve.
kernel() {
    local flavour=$1 newest
    shift
    newest=$(find "$cache" -maxdepth 1 -name "linux-image-*-$flavour-$(sum "$@")" \
        2>/dev/null | sort -V | tail -1)
    [ -n "$newest" ] || newest=$(fetch_kernel "$flavour" "$@")
    echo "$newest"
}

# A number that stands for these words.
sum() {
    echo "$@" | cksum | cut -d' ' -f1
}

# The package is unpacked, not installed; the directory appears whole or not at all.
fetch_kernel() {
    local package module dir flavour=$1 new=$work/kernel
    shift
    need apt-get apt
    need dpkg-deb dpkg
    package=$(apt-cache depends "linux-image-$flavour" 2>/dev/null |
        sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
    [ -n "$package" ] ||
        fail "apt knows no linux-image-$flavour: apt-get update, with Debian among the sources"
    echo "machine: fetching $package" >&2
    mkdir -p "$new/package" "$cache"
    (cd "$new" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2) ||
        fail "apt-get download $package failed; its index may be old: apt-get update"
    dpkg-deb -x "$new"/*.deb "$new/package"

    mv "$new"/package/boot/vmlinuz-* "$new/vmlinuz"
    for module in "$@"; do
        find "$new/package" -name "$module.ko*" -exec mv -t "$new" {} +
    done
    find "$new" -maxdepth 1 -name '*.ko.xz' -exec unxz {} +
    find "$new" -maxdepth 1 -name '*.ko.zst' -exec unzstd -q --rm {} +
    for module in "$@"; do
        [ -f "$new/$module.ko" ] || fail "$package holds no module $module"
    done
    rm -r "$new/package" "$new"/*.deb
    # Whoever comes second finds the directory there, as good as its own.
    dir=$cache/$package-$(sum "$@")
    mv -T "$new" "$dir" 2>/dev/null || [ -d "$dir" ] || fail "cannot write $dir"
    echo "$dir"
}

# put SRC DEST: a file, symlinks followed, with its libraries; or a directory as it is.
put() {
    local source=$1 target=$root$2 library
    [ -e "$source" ] || fail "$source does not exist"
    [[ $target != */ ]] || target+=$(basename "$source")
    mkdir -p "$(dirname "$target")"
    if [ -d "$source" ]; then
        cp -a "$source" "$target"
        return
    fi
    cp -L "$source" "$target"
    # ldd fails for scripts, data and static programs: nothing to bring.
    { ldd "$source" 2>/dev/null || true; } | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p' | while read -r library; do
        [ -e "$root$library" ] || put "$library" "$library"
    done
}

# archive DIR FILE: the directory as what the kernel unpacks into its first file system.
archive() {
    (cd "$1" && find . | cpio --quiet -o -H newc -R 0:0) >"$2"
}

# Debian's merged /usr, so that a library's path is valid whichever way it is spelt.
make_root() {
    local name file
    mkdir -p "$root"/{dev,etc,mnt,proc,root,run,sys,tmp,usr/{bin,sbin,lib,lib64}}
    for name in bin sbin lib lib64; do
        ln -s "usr/$name" "$root/$name"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    echo '127.0.0.1 localhost machine' >"$root/etc/hosts"
    : >"$root/etc/resolv.conf"
    put "$(command -v busybox)" /usr/bin/busybox
    put "$here/machine/init" /init
    [ -z "$systemd" ] || cp -a "$here/machine/systemd/." "$root/"
    put "$script" /script
    for file in irqbypass kvm kvm-amd "${pod_modules[@]}"; do
        put "$kernel/$file.ko" "/lib/modules/$file.ko"
    done
    put "$(command -v ip)" /usr/sbin/ip
    if [ -n "$linux" ]; then
        put "$kernel" /linux
        put "$(kernel amd64 "${generic_modules[@]}")" /linux-generic
        put "$(tools)" /tools
    fi
    for file in "${files[@]}"; do
        case $file in
        *:/*) put "${file%:*}" "${file##*:}" ;;
        *:*) fail "$file: DEST must be absolute" ;;
        *) put "$file" "/$(basename "$file")" ;;
        esac
    done
}

# The console is the first serial port; the script's exit code comes by the second,
# where nothing that is printed can pass for it.
#
# thread=single: with a host thread for each CPU, QEMU before 8.1 may go on running a
# piece of code that the other CPU has just rewritten (its commit deba78709a). Linux
# rewrites its scheduler whenever the first KVM machine starts or the last one ends, and
# within some hundred of them both CPUs hung at a breakpoint that was no longer there.
#
# nohz=off highres=off: a tick that comes by itself. The emulation now and then loses the
# single one that a CPU has ordered before it sleeps, which then sleeps for ever.
boot() {
    mkfifo "$work/console"
    sed -u 's/\r//g' <"$work/console" &
    local filter=$!
    # The signal on our death, even by SIGKILL: no machine is left running.
    setpriv --pdeathsig TERM timeout "$timeout" \
        qemu-system-x86_64 -accel tcg,thread=single -M q35 -cpu max,+svm -smp "$cpus" -m "$memory" \
        -display none -monitor none -nic none -no-reboot \
        -serial stdio -serial "file:$work/exit" \
        -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
        -append 'console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off nohz=off highres=off' \
        </dev/null >"$work/console" &
    machine=$!
    local status=0
    wait "$machine" || status=$?
    machine=
    wait "$filter"
    [ "$status" != 124 ] || fail "no end after $timeout s (--timeout)"
    [ "$status" = 0 ] || fail "qemu-system-x86_64 failed with $status"
}

cleanup() {
    [ -z "$machine" ] || kill "$machine" 2>/dev/null || true
    rm -rf "$work"
}

parse "$@"
check_tools
machine=
work=$(mktemp -d "${TMPDIR:-/tmp}/runu-machine.XXXXXX")
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

root=$work/root
kernel=$(kernel cloud-amd64 "${modules[@]}")
make_root
archive "$root" "$work/initrd"
if [ -n "$systemd" ]; then
    # The kernel unpacks one after the other; ours last, for its files to stay.
    userland=$(userland)
    cat "$userland" "$work/initrd" >"$work/both"
    mv "$work/both" "$work/initrd"
fi
boot
code=$(tr -dc 0-9 <"$work/exit")
[ -n "$code" ] || fail "the machine ended before the script did: a kernel panic or a reset, see its output"
exit "$code"
