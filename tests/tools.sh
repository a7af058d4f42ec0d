#!/bin/sh
# Says what demo and tests need of this machine and is missing, and installs it:
# Debian's packages by apt-get, Rust's targets by rustup. Rust itself it only
# looks for.
set -eu

say() { echo "tools: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

if ! have cargo; then
	say "Rust is missing: install it with rustup (https://rustup.rs), then call this again"
	exit 1
fi

# program:package
missing=
for pair in cc:gcc runc:runc busybox:busybox-static containerd:containerd \
	qemu-system-x86_64:qemu-system-x86 cpio:cpio ip:iproute2 iptables:iptables unshare:util-linux \
	ps:procps xz:xz-utils; do
	have "${pair%%:*}" || missing="$missing ${pair##*:}"
done
[ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
[ -x /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins"
if [ -n "$missing" ]; then
	say "installing$missing"
	as_root=
	if [ "$(id -u)" != 0 ]; then
		as_root=sudo
	fi
	$as_root apt-get update -qq
	# The services that come with the packages are not wanted: the tests start their own.
	$as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

for target in x86_64-unknown-linux-musl x86_64-unknown-none; do
	if [ ! -d "$(rustc --print target-libdir --target $target)" ]; then
		say "adding Rust's target $target"
		rustup target add $target
	fi
done
