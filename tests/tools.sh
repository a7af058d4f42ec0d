#!/bin/sh
# Says what is missing on this machine and installs it: Debian's packages by
# apt-get, Rust's targets by rustup. Rust itself it only looks for.
#
#   tests/tools.sh demo|test
set -eu

say() { echo "tools: $*" >&2; }

# need PACKAGE FILE...: the package is missing if none of the files is there.
need() {
	package=$1
	shift
	for file; do
		if [ -e "$file" ] || command -v "$file" >/dev/null 2>&1; then
			return
		fi
	done
	missing="$missing $package"
}

if ! command -v cargo >/dev/null 2>&1; then
	say "Rust is missing: install it with rustup (https://rustup.rs), then call this again"
	exit 1
fi

missing=
need gcc cc
need libc6-dev /usr/include/stdio.h
need runc runc /usr/sbin/runc
need busybox-static /bin/busybox
need iproute2 ip /sbin/ip
# The software-emulated machine: for every test, and for a demo without KVM.
if [ "$1" = test ] || ! [ -e /dev/kvm ]; then
	need qemu-system-x86 qemu-system-x86_64
	need cpio cpio
	need xz-utils xz
fi
if [ "$1" = test ]; then
	need containerd containerd
	need containernetworking-plugins /usr/lib/cni/bridge
	# Debian starts containerd and dockerd as services where it installs them on a
	# machine with systemd; the tests start their own and use neither.
	need podman podman
	need conmon conmon
	need crun crun
	need docker.io /usr/sbin/dockerd
	need iptables iptables /usr/sbin/iptables
	need util-linux unshare
	need procps ps
fi
if [ -n "$missing" ]; then
	say "installing$missing"
	as_root=
	if [ "$(id -u)" != 0 ]; then
		as_root=sudo
	fi
	$as_root apt-get update -qq
	$as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

for target in x86_64-unknown-linux-musl x86_64-unknown-none; do
	if [ ! -d "$(rustc --print target-libdir --target $target)" ]; then
		say "adding Rust's target $target"
		rustup target add $target
	fi
done
