#!/bin/sh
# Sets up what is missing, then: no argument opens the page; `setup` stops there; `test` runs the
# tests, a bare `check` the linters and the quick tests; anything else goes to app.py
# (`./launch.sh generate "a red ball"`).

# Started by a link to this file, its folder is where the link leads (readlink -f isn't everywhere).
file=$0 followed=0
while [ -h "$file" ] && [ $followed -lt 40 ]; do
    target=$(readlink -- "$file") && folder=$(CDPATH='' cd -P -- "$(dirname -- "$file")" && pwd -P) || exit 5
    case $target in
        /*) file=$target ;;
        *) file=$folder/$target ;;
    esac
    followed=$((followed + 1))
done
here=$(CDPATH='' cd -- "$(dirname -- "$file")" && pwd) || exit 5

find_python() {
    for name in python3.12 python3.13 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c \
            'import sys, venv, ensurepip; sys.exit(not (sys.maxsize > 2**32 and (3, 11) <= sys.version_info[:2] <= (3, 13)))' \
            >/dev/null 2>&1
        then
            echo "$name"
            return
        fi
    done
}

# A window that was opened by a double click closes with the program: keep the reason readable. Its
# terminal runs nothing else, so this shell leads the session.
own_window() {
    [ -t 0 ] && [ "$(ps -o sid= -p $$ 2>/dev/null | tr -d ' ')" = $$ ]
}

fail() {
    code=$1
    if own_window; then
        printf 'Press Enter to close this window. ' >&2
        read -r _
    fi
    exit "$code"
}

python=$(find_python)
if [ -z "$python" ]; then
    echo "Headroom needs Python 3.11, 3.12 or 3.13 with its venv module; none was found." >&2
    echo "On Debian and Ubuntu: sudo apt install python3 python3-venv. Then start this again." >&2
    fail 5
fi

"$python" "$here/engine/install" "$@" || fail $?
case ${1:-serve} in
    setup | --cpu | --gpu | --repair | --dry-run) exit 0 ;;
    check)
        # With a size it is the program's verdict on that.
        [ $# -gt 1 ] || { cd "$here" && exec .venv/bin/python -m tests.tools.check; } ;;
    test)
        shift
        # Two processes: most tests wait for another one. `./launch.sh test -n 0` is one after the other.
        cd "$here" && exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@" ;;
esac
# In a window of its own this shell stays, to keep it open with the reason; else it steps aside, so
# that signals and exit codes are the program's.
own_window || exec "$here/.venv/bin/python" "$here/app.py" "$@"
"$here/.venv/bin/python" "$here/app.py" "$@" || fail $?
