#!/bin/bash
# Runs runc's own integration tests with one runtime, then with another, and says
# where they differ. What it needs, and what it has shown: docs/runc-suite.md.
#
#   tests/runc-suite.sh DIR RUNC_A RUNC_B [FILE.bats ...]
#
# DIR is tests/integration of runc's sources; without a FILE every one in it is run.
# 0: both pass the same tests. 1: they do not. 2: the comparison could not be made.
#
# RUNC_SUITE_SECONDS bounds one file's time (300); RUNC_SUITE_LOGS keeps the outputs;
# RUNC_SUITE_USER names an unprivileged user to run the tests as: they are then rootless.
set -euo pipefail

die() { echo "runc-suite: $*" >&2; exit 2; }

[ $# -ge 3 ] || die "usage: tests/runc-suite.sh DIR RUNC_A RUNC_B [FILE.bats ...]"
dir=$(realpath "$1")
a=$(realpath "$2")
b=$(realpath "$3")
shift 3
[ "$(id -u)" = 0 ] || die "runc's tests of containers with all their rights need root: call this as root"
as=
if [ -n "${RUNC_SUITE_USER:-}" ]; then
	as="setpriv --reuid=$(id -u "$RUNC_SUITE_USER") --regid=$(id -g "$RUNC_SUITE_USER") --clear-groups"
fi
for tool in bats jq gawk go gcc script unshare; do
	command -v $tool >/dev/null || die "$tool is missing: install Debian's packages bats, jq, gawk, golang-go, gcc, bsdutils and util-linux"
done
for helper in recvtty sd-helper seccompagent; do
	[ -x "$dir/../../contrib/cmd/$helper/$helper" ] || die "contrib/cmd/$helper is not built: see runc's Makefile"
done
for image in busybox debian; do
	[ -e "$dir/testdata/$image-$(go env GOARCH).tar.xz" ] || die "testdata holds no image of $image: see docs/runc-suite.md"
done
[ $# != 0 ] || set -- $(cd "$dir" && echo *.bats)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
seconds=${RUNC_SUITE_SECONDS:-300}
logs=$(realpath "${RUNC_SUITE_LOGS:-$work/logs}")
mkdir -p "$logs" "$work/tmp"
chmod a+x "$work" # tests in user namespaces come by
chmod 1777 "$work/tmp"

# One line per test: ok, fail or skip, the file and the test's name. A file that did not
# run to its end fails.
results() { # TAP-FILE BATS-FILE
	gawk -v file="$2" '
		match($0, /^1\.\.([0-9]+)$/, plan) { planned = plan[1] }
		match($0, /^(not ok|ok) [0-9]+ (.*)$/, line) {
			ran++
			result = line[1] == "ok" ? "ok" : "fail"
			if (sub(/ # skip.*/, "", line[2])) result = "skip"
			print result "\t" file ": " line[2]
		}
		END { if (ran != planned) print "fail\t" file ": ended early" }
	' "$1"
}

# Every test of the files with one runtime. The tests know the program as `runc`: so it is called.
run() { # NAME PROGRAM FILES...
	local name=$1 program=$2 file tap
	shift 2
	mkdir -p "$work/$name" "$logs/$name"
	ln -s "$program" "$work/$name/runc"
	for file in "$@"; do
		tap=$logs/$name/$file.tap
		# On a terminal of its own, for `runc run` wants one; in a pid namespace, so that what
		# a cut file leaves behind ends with it; in a network namespace: nothing is fetched.
		RUNC="$work/$name/runc" SUITE_FILE="$dir/$file" SUITE_TAP="$tap" SUITE_AS="$as" TMPDIR="$work/tmp" \
			timeout --foreground -s KILL "$seconds" unshare --pid --net --kill-child --mount-proc \
			script -qec 'exec $SUITE_AS bats --tap "$SUITE_FILE" >"$SUITE_TAP" 2>&1' /dev/null </dev/null >/dev/null ||
			[ $? != 137 ] || echo "runc-suite: $file had more than $seconds seconds with $name, and was cut" >&2
		[ -s "$tap" ] || die "bats printed nothing for $file"
		results "$tap" "$file" >>"$work/$name.results"
	done
	sort -o "$work/$name.results" "$work/$name.results"
	echo "$name ($program): $(count ok) passed, $(count fail) failed, $(count skip) skipped"
}

count() { grep -c "^$1	" "$work/$name.results" || true; }

run A "$a" "$@"
run B "$b" "$@"
grep -q '^ok' "$work/A.results" || die "nothing passes with A: the comparison would say nothing"

if diff -U0 "$work/A.results" "$work/B.results" | grep '^[-+][a-z]'; then
	echo "- with A, + with B; what the tests said: ${RUNC_SUITE_LOGS:-set RUNC_SUITE_LOGS to a directory to keep it}"
fi
cmp -s <(grep '^ok' "$work/A.results") <(grep '^ok' "$work/B.results")
