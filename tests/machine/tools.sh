# Debian's fio, iperf3 and socat for guests of tests/machine.sh --linux. Sourced there: uses its `fail`,
# `need`, $cache and $work, and userland.sh.

tool_packages=(fio iperf3 socat)
tools=(fio iperf3 socat)

# Prints the directory of the tools: for each a directory with the program, its libraries and their
# loader. Fetches the packages the first time.
tools() {
    local dir
    dir=$cache/tools-$(cksum <"$here/machine/tools.sh" | tr ' ' -)
    [ -d "$dir" ] || fetch_tools "$dir"
    echo "$dir"
}

fetch_tools() {
    local new=$work/tools tool
    need readelf binutils
    unpack "$work/packages" "${tool_packages[@]}"
    mkdir -p "$cache"
    for tool in "${tools[@]}"; do
        mkdir -p "$new/$tool"
        cp "$work/packages/usr/bin/$tool" "$new/$tool/"
        bring_libraries "$new/$tool/$tool"
    done
    rm -r "$work/packages"
    rm -rf "$cache"/tools-* # of older recipes
    mv -T "$new" "$1" 2>/dev/null || [ -d "$1" ] || fail "cannot write $1"
}

# What a program or library names, and what that names.
bring_libraries() {
    local name found dir
    dir=$(dirname "$1")
    while read -r name; do
        [ ! -e "$dir/$name" ] || continue
        found=$(find "$work/packages/usr/lib" "$work/packages/usr/lib64" -name "$name" -print -quit)
        [ -n "$found" ] || fail "$1 wants $name, which no package brings"
        cp -L "$found" "$dir/$name"
        bring_libraries "$dir/$name"
    done < <(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
}
