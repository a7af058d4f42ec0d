#!/bin/bash
# Runs the tests that boot guests, and those that call runc, in the software-emulated
# machine: a full KVM and cgroup v2, whatever the host has.
#
#   tests/machine/tests.sh [--systemd | --linux | --network | --containerd] RUNU [TEST]...
#
# With --systemd, those that need systemd, a user's session or podman; with --linux, Linux as a
# guest; with --network, pods' networks, and 16 MiB each way; with --containerd, the same by
# containerd's CRI.
# RUNU is the program to test, a static binary; a TEST is a name of `cargo test -p tests --test`.
# Needs runc, virtiofsd (Debian 12: qemu-system-common), and the guests (make -C fixtures/guests).
# Exits with 1 if a test failed, and as tests/machine.sh does if the machine failed. Nothing may
# be skipped in there.
set -euo pipefail

cd "$(dirname "$0")/../.."
machine=(--timeout 900)
files=()
only=
tests=(vmm guests ends solo5 hermit lifecycle events upgrade robustness hooks run confinement console bad_input delegate
    bundles init terminal doctor vcpus stopping virtiofs disks block_root)
if [ "${1-}" = --systemd ]; then
    machine+=(--systemd)
    tests=(systemd rootless)
    shift
elif [ "${1-}" = --linux ]; then
    machine=(--linux --cpus 1 --memory 3G --timeout 1200)
    [ -z "${RUNU_TEST_LONG-}" ] || machine+=(--memory 6G --timeout 36000)
    tests=(linux linux_root linux_files linux_devices)
    shift
elif [ "${1-}" = --network ]; then
    machine=(--timeout 1200)
    tests=(network sharing web)
    shift
elif [ "${1-}" = --containerd ]; then
    machine=(--memory 4G --timeout 2400)
    tests=(containerd)
    only=pods::
    for program in containerd containerd-shim-runc-v2 ctr iptables; do
        files+=("$(command -v "$program"):/usr/sbin/$program")
    done
    # Where busybox's own would know too little.
    for program in env setpriv sh sleep unshare; do
        files+=("$(command -v "$program"):/usr/bin/$program")
    done
    for plugin in bridge host-local loopback; do
        files+=("/usr/lib/cni/$plugin:/usr/lib/cni/$plugin")
    done
    shift
fi
runu=${1:?usage: tests/machine/tests.sh [--systemd | --linux | --network | --containerd] RUNU [TEST]...}
shift
[ $# = 0 ] || tests=("$@")

work=$(mktemp -d "${TMPDIR:-/tmp}/runu-tests.XXXXXX")
trap 'rm -rf "$work"' EXIT

# cargo names each test's program on stderr: "Executable NAME.rs (PATH)".
cargo test -p tests --no-run "${tests[@]/#/--test=}" 2>&1 | tee "$work/cargo" >&2
mkdir -p "$work/tests"
for name in "${tests[@]}"; do
    program=$(sed -n "s|.*Executable \(tests/\)\?$name\(/main\)\?\.rs (\(.*\))|\3|p" "$work/cargo")
    # Without what a debugger wants, most of it: the machine's first file system is half its memory.
    strip --strip-debug -o "$work/tests/$name" "$program"
done

cat >"$work/script" <<'EOF'
export RUNU_TEST_BIN=/usr/bin/runu RUNU_TEST_DIR=/repository RUNU_TEST_REQUIRE_ALL=1
export RUNU_TEST_LINUX=/linux RUNU_TEST_LINUX_GENERIC=/linux-generic RUNU_TEST_TOOLS=/tools
export RUNU_TRANSFER=16777216
# As containerd's service has.
ulimit -n 524288
failed=0
for test in /tests/*; do
    echo "$test, in the emulated machine:"
    # One at a time: two guests at once only slow each other down in here.
    (cd /repository && $test --test-threads=1 $only) 2>&1 || failed=1
done
exit $failed
EOF
sed -i "1i only=$only" "$work/script"
for name in RUNU_TEST_LONG RUNU_TEST_TRANSPORTS; do
    [ -z "${!name-}" ] || sed -i "1i export $name=1" "$work/script"
done
virtiofsd=$(command -v virtiofsd /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd | head -1)
# busybox's nsenter would run busybox's own ip, and its losetup does not say which device it took.
tests/machine.sh "${machine[@]}" --script "$work/script" "$runu:/usr/bin/runu" \
    "$(command -v runc):/usr/bin/runc" "$(command -v tc):/usr/sbin/tc" \
    "$(command -v nsenter):/usr/bin/nsenter" "$virtiofsd:/usr/libexec/virtiofsd" \
    "$(command -v losetup):/usr/sbin/losetup" \
    "$(command -v mke2fs):/usr/sbin/mke2fs" "$(command -v e2fsck):/usr/sbin/e2fsck" \
    "$work/tests:/tests" \
    fixtures/bin:/repository/fixtures/bin fixtures/bundles:/repository/fixtures/bundles \
    fixtures/records:/repository/fixtures/records "${files[@]}"
