#!/bin/sh
# Sets up what is missing, then: no argument opens the page; `setup` stops there; `test` runs the
# tests; anything else goes to app.py (`./launch.sh generate "a red ball"`).
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 5

find_python() {
    for name in python3.12 python3.13 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c \
            'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
            >/dev/null 2>&1
        then
            echo "$name"
            return
        fi
    done
}

# A window that was opened by a double click closes with the program: keep the reason readable.
fail() {
    code=$1
    if [ -t 0 ] && [ "${HEADROOM_DOUBLE_CLICK:-}" = 1 ]; then
        printf 'Press Enter to close this window. ' >&2
        read -r _
    fi
    exit "$code"
}

python=$(find_python)
if [ -z "$python" ]; then
    echo "Headroom needs Python 3.11, 3.12 or 3.13 with its venv module, and found none." >&2
    echo "On Debian and Ubuntu: sudo apt install python3 python3-venv. Then start this again." >&2
    fail 5
fi

verb=${1:-serve}
case $verb in
    setup) "$python" "$here/engine/install.py" || fail $? ; exit 0 ;;
    test)
        shift
        "$python" "$here/engine/install.py" --tests || fail $?
        cd "$here" && exec .venv/bin/python -m pytest "$@" ;;
    *)
        "$python" "$here/engine/install.py" || fail $?
        # Not exec: the window has to stay open with the reason if this fails.
        "$here/.venv/bin/python" "$here/app.py" "$@" || fail $? ;;
esac
