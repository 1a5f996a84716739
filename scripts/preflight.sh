#!/bin/sh
# What setup needs, looked for before anything is done. Writes nothing and takes well under two seconds.
# Prints the path of the Python to use, or on stderr what is missing and one line that installs it.
# Plain POSIX sh with builtins where it can: a machine that lacks half its tools must still get an answer.

missing=""   # what to tell the reader, one line each
needs=""     # names of package groups: python venv cc cxx

# Respect PYTHON=, else the newest version that works. A pyenv shim exists on PATH without running: each
# candidate is asked for its version, not only looked up.
probe='
import sys
if sys.version_info < (3, 11): sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    print(sys.executable); sys.exit(4)
print(sys.executable)
'
python=""
unusable=""   # a good Python whose venv or ensurepip is missing
old=""        # a Python below 3.11
if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.14 python3.13 python3.12 python3.11 python3; fi
for candidate in "$@"; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    found=$("$candidate" -I -c "$probe" </dev/null 2>/dev/null)
    case $? in
        0) python=$found; break ;;
        3) old=${old:-$candidate} ;;
        4) unusable=${unusable:-$found} ;;
    esac
done

add() { missing="$missing  - $1
"; needs="$needs $2"; }

if [ -z "$python" ]; then
    if [ -n "$unusable" ]; then
        add "venv with ensurepip for $unusable" venv
    elif [ -n "${PYTHON:-}" ] && [ -z "$old" ]; then
        add "Python 3.11 or newer (PYTHON=$PYTHON does not run)" python
    elif [ -n "$old" ]; then
        add "Python 3.11 or newer ($old is older)" python
    else
        add "Python 3.11 or newer" python
    fi
fi

# A compiler counts when it compiles: macOS has stubs that only ask to install one. With -fsyntax-only nothing
# is written. CC and CXX may hold a wrapper and flags ("ccache gcc"), so they are split on spaces.
system=$(uname -s 2>/dev/null) || system=unknown
tools=yes
if [ "$system" = Darwin ] && ! xcode-select -p >/dev/null 2>&1; then tools=""; fi
compiles() { # LANGUAGE SOURCE COMMAND...
    language=$1; source=$2; shift 2
    command -v "$1" >/dev/null 2>&1 || return 1
    printf '%s\n' "$source" | "$@" -x "$language" -fsyntax-only - >/dev/null 2>&1
}
first_that_compiles() { # LANGUAGE SOURCE NAME...
    language=$1; source=$2; shift 2
    for name in "$@"; do compiles "$language" "$source" "$name" && return 0; done
    return 1
}
c_source='#include <stdlib.h>
int main(void) { return 0; }'
cxx_source='#include <cstdlib>
int main() { return 0; }'
if [ -n "${CC:-}" ]; then
    # shellcheck disable=SC2086
    { [ -n "$tools" ] && compiles c "$c_source" $CC; } || add "a C compiler (CC=$CC does not compile)" cc
elif ! { [ -n "$tools" ] && first_that_compiles c "$c_source" cc gcc clang; }; then
    add "a C compiler (cc, gcc or clang)" cc
fi
if [ -n "${CXX:-}" ]; then
    # shellcheck disable=SC2086
    { [ -n "$tools" ] && compiles c++ "$cxx_source" $CXX; } || add "a C++ compiler (CXX=$CXX does not compile)" cxx
elif ! { [ -n "$tools" ] && first_that_compiles c++ "$cxx_source" c++ g++ clang++; }; then
    add "a C++ compiler (c++, g++ or clang++)" cxx
fi

if [ -z "$missing" ]; then
    printf '%s\n' "$python"
    exit 0
fi

# One line for this system. /etc/os-release is read without running anything from it.
ID="" ID_LIKE="" VERSION_ID=""
os_release=${ARRIERO_OS_RELEASE:-/etc/os-release}
if [ -r "$os_release" ]; then
    while IFS='=' read -r key value; do
        value=${value#\"}; value=${value%\"}
        case $key in
            ID) ID=$value ;;
            ID_LIKE) ID_LIKE=$value ;;
            VERSION_ID) VERSION_ID=$value ;;
        esac
    done <"$os_release"
fi
sudo="sudo "
[ "$(id -u 2>/dev/null)" = 0 ] && sudo=""
has() { case " $needs " in *" $1 "*) return 0 ;; esac; return 1; }
packages=""
want() { case " $packages " in *" $1 "*) ;; *) packages="${packages:+$packages }$1" ;; esac; }
hint=""
case "$system: $ID $ID_LIKE" in
    Darwin:*)
        if has cc || has cxx; then line="xcode-select --install"; fi
        if has python || has venv; then
            line="${line:+$line && }brew install python@3.13"
            command -v brew >/dev/null 2>&1 || hint="Without Homebrew: the installer from https://www.python.org/downloads/ does as well."
        fi ;;
    *debian*|*ubuntu*)
        # The venv package belongs to one Python; Ubuntu 22.04 has 3.11 beside its default 3.10.
        case "$ID $VERSION_ID" in "ubuntu 22.04") default=python3.11 ;; *) default=python3 ;; esac
        has python && want $default && want $default-venv
        if has venv; then
            case ${unusable##*/} in python3.*) want "${unusable##*/}-venv" ;; *) want "$default-venv" ;; esac
        fi
        if has cc || has cxx; then want build-essential; fi
        line="${sudo}apt-get update && ${sudo}apt-get install -y $packages"
        case "$ID $VERSION_ID" in "debian 10"|"debian 11"|"ubuntu 20.04")
            has python && hint="This release has no Python 3.11; install one (pyenv, uv, conda) and pass PYTHON=/path/to/python." ;;
        esac ;;
    *fedora*|*rhel*|*centos*)
        if has python || has venv; then
            case "$ID" in fedora) want python3 ;; *) want python3.12 ;; esac
        fi
        has cc && want gcc
        has cxx && want gcc-c++
        line="${sudo}dnf install -y $packages" ;;
    *arch*)
        if has python || has venv; then want python; fi
        if has cc || has cxx; then want base-devel; fi
        line="${sudo}pacman -S --needed $packages" ;;
    *)
        line="" ;;
esac
{
    printf 'arriero needs something that is not here:\n%s' "$missing"
    if [ -n "$line" ]; then
        printf 'Install it with:\n\n  %s\n\n' "$line"
    else
        printf 'Install it with the package manager of this system.\n'
    fi
    [ -n "$hint" ] && printf '%s\n' "$hint"
    printf 'Nothing was changed. Then run make again.\n'
} >&2
exit 1
