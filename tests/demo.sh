#!/bin/sh
# An ordinary container and a unikernel through the one binary: for each the
# decision, the output, the exit code and how long it took.
#
#   tests/demo.sh RUNU
#
# Where this machine has no KVM, or its user may not make containers, the same
# happens inside a software-emulated machine.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
guests=${RUNU_DEMO_GUESTS:-$here/../fixtures/bin}

main() {
	runu=$1
	if [ "${RUNU_DEMO_INSIDE:-}" ]; then
		show
	elif ! [ -e /dev/kvm ]; then
		echo "demo: there is no /dev/kvm here: everything below happens in a software-emulated machine"
		emulated
	elif [ "$(id -u)" = 0 ]; then
		show
	elif command -v sudo >/dev/null; then
		echo "demo: containers need root: sudo"
		sudo "$0" "$runu"
	else
		echo "demo: containers need root and there is no sudo: everything below happens in a software-emulated machine"
		emulated
	fi
}

# The same script, in the machine of tests/machine.sh.
emulated() {
	inside=$(mktemp)
	trap 'rm -f "$inside"' EXIT
	echo 'RUNU_DEMO_INSIDE=1 RUNU_DEMO_GUESTS=/guests exec sh /demo.sh /bin/runu' >"$inside"
	"$here/machine.sh" --script "$inside" \
		"$0:/demo.sh" "$runu:/bin/runu" "$guests:/guests" "$(command -v runc || echo /usr/sbin/runc):/bin/runc"
}

show() {
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT

	title "an ordinary container: its image is busybox"
	bundle ordinary '"/bin/busybox", "sh", "-c", "echo hello from a container; exit 3"'
	mkdir -p "$work/ordinary/rootfs/bin"
	cp /bin/busybox "$work/ordinary/rootfs/bin/busybox"
	run ordinary 3

	title "a unikernel: its image holds /unikraft/bin/kernel"
	bundle unikernel '"hello", "from", "the", "demo"'
	kernel unikernel hello-pvh
	run unikernel 0

	title "its exit code is the guest's: exit=7"
	bundle code '"exit", "exit=7"'
	kernel code exit-linux64
	run code 7

	title "fail closed: a kernel that is none never becomes a container"
	bundle refused '"app"'
	mkdir -p "$work/refused/rootfs/unikraft/bin"
	echo 'not a kernel' >"$work/refused/rootfs/unikraft/bin/kernel"
	run refused 1

	title "and nothing is left"
	"$runu" list
}

title() {
	printf '\n== %s\n' "$*"
}

kernel() {
	mkdir -p "$work/$1/rootfs/unikraft/bin"
	cp "$guests/$2" "$work/$1/rootfs/unikraft/bin/kernel"
}

# run NAME EXPECTED: the decision, then the container itself.
run() {
	echo "\$ runu explain --bundle $1"
	"$runu" explain --bundle "$work/$1" || true
	echo "\$ runu run --bundle $1 demo-$1"
	before=$(now)
	code=0
	"$runu" run --bundle "$work/$1" "demo-$1" 2>&1 || code=$?
	echo "-- exit code $code, after $((($(now) - before) * 10)) ms"
	if [ "$code" != "$2" ]; then
		echo "demo: $1 should have ended with $2" >&2
		exit 1
	fi
}

# Hundredths of a second since boot.
now() {
	read -r up _ </proc/uptime
	echo "${up%.*}${up#*.}"
}

# bundle NAME ARGS: a bundle that may be run, with an empty rootfs.
bundle() {
	mkdir -p "$work/$1/rootfs"
	cat >"$work/$1/config.json" <<-END
		{
		  "ociVersion": "1.0.2",
		  "root": { "path": "rootfs" },
		  "hostname": "demo",
		  "process": { "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": ["PATH=/bin"], "args": [$2] },
		  "mounts": [
		    { "destination": "/proc", "type": "proc", "source": "proc" },
		    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] }
		  ],
		  "linux": {
		    "cgroupsPath": "/runu-demo-$1",
		    "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, { "type": "network" }],
		    "resources": { "memory": { "limit": 67108864 } }
		  }
		}
	END
}

main "$@"
