#!/bin/sh
# An ordinary container and a unikernel through the one binary: for each the
# decision, the output, the exit code and how long it took. Then a unikernel in one pod
# serves what a ConfigMap says to an ordinary container in another pod.
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
	trap clean EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM

	title "an ordinary container: its image is busybox"
	bundle ordinary '"/bin/busybox", "sh", "-c", "echo hello from a container; exit 3"'
	mkdir -p "$work/ordinary/rootfs/bin"
	cp /bin/busybox "$work/ordinary/rootfs/bin/busybox"
	show_run ordinary 3

	title "a unikernel: its image holds /unikraft/bin/kernel"
	bundle unikernel '"hello", "from", "the", "demo"'
	kernel unikernel hello-pvh
	show_run unikernel 0

	title "its exit code is the guest's: exit=7"
	bundle code '"exit", "exit=7"'
	kernel code exit-linux64
	show_run code 7

	title "fail closed: a kernel that is none never becomes a container"
	bundle refused '"app"'
	mkdir -p "$work/refused/rootfs/unikraft/bin"
	echo 'not a kernel' >"$work/refused/rootfs/unikraft/bin/kernel"
	show_run refused 1

	title "two pods: a unikernel serves a ConfigMap's page to an ordinary container"
	pods
	two_pods

	title "and nothing is left"
	clean_pods
	"$runu" list
}

# A web server that is a unikernel in the pod `web`, with a ConfigMap at /site; its client, an
# ordinary container, in the pod `client`.
two_pods() {
	mkdir "$work/config-map"
	config_map ..1 'Hello from a ConfigMap!'
	bundle web '"web", "root=/site"' web \
		"{ \"destination\": \"/site\", \"type\": \"bind\", \"source\": \"$work/config-map\", \"options\": [\"bind\", \"ro\"] }"
	kernel web web-linux64
	explain web
	echo "\$ runu run --detach --bundle web demo-web"
	"$runu" run --detach --bundle "$work/web" demo-web </dev/null >"$work/web.log" 2>&1 ||
		{ cat "$work/web.log" >&2; exit 1; }
	for _ in $(seq 300); do
		! grep -q '^ready' "$work/web.log" || break
		sleep 0.1
	done
	cat "$work/web.log"

	client
	run client 0 "Hello from a ConfigMap!"
	config_map ..2 'The ConfigMap has changed.'
	echo "-- the ConfigMap changes; the unikernel goes on"
	run client 0 "The ConfigMap has changed."
	"$runu" kill demo-web TERM
	for _ in $(seq 100); do
		! "$runu" state demo-web | grep -q '"status": "running"' || sleep 0.1
	done
	"$runu" delete demo-web
	tail -n 1 "$work/web.log"
}

# The client's image is busybox, and curl where there is one.
client() {
	get="printf 'GET / HTTP/1.0\\\\r\\\\n\\\\r\\\\n' | nc 10.88.0.2 80"
	mkdir -p "$work/client/rootfs/bin"
	cp /bin/busybox "$work/client/rootfs/bin/busybox"
	if command -v curl >/dev/null && command -v ldd >/dev/null; then
		get="$(command -v curl) -si http://10.88.0.2/"
		for file in "$(command -v curl)" $(ldd "$(command -v curl)" | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p'); do
			mkdir -p "$work/client/rootfs/${file%/*}"
			cp -L "$file" "$work/client/rootfs/$file"
		done
	fi
	bundle client "\"/bin/busybox\", \"sh\", \"-c\", \"$get\"" client
}

# config_map VERSION TEXT: its next content, from one moment to the next, as the kubelet does it.
config_map() {
	mkdir "$work/config-map/$1"
	echo "$2" >"$work/config-map/$1/index.html"
	ln -s "$1" "$work/config-map/..data_tmp"
	mv -T "$work/config-map/..data_tmp" "$work/config-map/..data"
	ln -sf ..data/index.html "$work/config-map/index.html"
}

# iproute2's, where the shell is busybox's, which has an ip of its own.
ip() {
	/sbin/ip "$@"
}

# Network namespaces as pods have them: a bridge in one, and a wire from there to each pod.
pods() {
	ip netns add runu-demo-node
	ip -n runu-demo-node link add bridge type bridge
	ip -n runu-demo-node link set bridge up
	address=2
	for pod in web client; do
		ip netns add "runu-demo-$pod"
		ip -n runu-demo-node link add "$pod" type veth peer name eth0 netns "runu-demo-$pod"
		ip -n runu-demo-node link set "$pod" master bridge up
		ip -n "runu-demo-$pod" addr add "10.88.0.$address/24" dev eth0
		ip -n "runu-demo-$pod" link set eth0 up
		address=$((address + 1))
	done
}

clean_pods() {
	for pod in web client node; do
		! [ -e "/run/netns/runu-demo-$pod" ] || ip netns delete "runu-demo-$pod"
	done
}

clean() {
	"$runu" delete --force demo-web 2>/dev/null || true
	clean_pods
	rm -rf "$work"
}

title() {
	printf '\n== %s\n' "$*"
}

kernel() {
	mkdir -p "$work/$1/rootfs/unikraft/bin"
	cp "$guests/$2" "$work/$1/rootfs/unikraft/bin/kernel"
}

# show_run NAME EXPECTED: the decision, then the container itself.
show_run() {
	explain "$1"
	run "$1" "$2" ''
}

explain() {
	echo "\$ runu explain --bundle $1"
	"$runu" explain --bundle "$work/$1" || true
}

# run NAME EXPECTED TEXT: the container must end with EXPECTED, and say TEXT.
run() {
	echo "\$ runu run --bundle $1 demo-$1"
	before=$(now)
	code=0
	"$runu" run --bundle "$work/$1" "demo-$1" >"$work/said" 2>&1 </dev/null || code=$?
	cat "$work/said"
	echo "-- exit code $code, after $((($(now) - before) * 10)) ms"
	if [ "$code" != "$2" ] || { [ "$3" ] && ! grep -q "$3" "$work/said"; }; then
		echo "demo: $1 should have ended with $2${3:+ and said: $3}" >&2
		exit 1
	fi
}

# Hundredths of a second since boot.
now() {
	read -r up _ </proc/uptime
	echo "${up%.*}${up#*.}"
}

# bundle NAME ARGS [POD [MOUNT]]: a bundle that may be run, with an empty rootfs; in a pod's network.
bundle() {
	network='{ "type": "network" }'
	[ -z "${3-}" ] || network="{ \"type\": \"network\", \"path\": \"/run/netns/runu-demo-$3\" }"
	mkdir -p "$work/$1/rootfs"
	cat >"$work/$1/config.json" <<-END
		{
		  "ociVersion": "1.0.2",
		  "root": { "path": "rootfs" },
		  "hostname": "demo",
		  "process": { "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": ["PATH=/bin"], "args": [$2] },
		  "mounts": [
		    { "destination": "/proc", "type": "proc", "source": "proc" },
		    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] }${4:+, $4}
		  ],
		  "linux": {
		    "cgroupsPath": "/runu-demo-$1",
		    "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, $network],
		    "resources": { "memory": { "limit": 67108864 } }
		  }
		}
	END
}

main "$@"
