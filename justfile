# The verbs of every day. `./just` finds or installs what runs this file.

set shell := ["sh", "-eu", "-c"]

python := ".venv/bin/python"
just := quote(just_executable())
# Most of these tests wait for sound and for clocks: three at once keep two processors busy.
side_by_side := "-n 3 --dist worksteal"
# What the demo needs, what the tests need besides: commands and libraries, and the Debian packages that bring them.
build_commands := "cc:build-essential c++:build-essential make:build-essential cmake:cmake curl:curl libportaudio.so.2:libportaudio2"
test_commands := "sox:sox ffmpeg:ffmpeg flac:flac arecord:alsa-utils openssl:openssl strace:strace lame:lame chromium:chromium \
    pulseaudio:pulseaudio pactl:pulseaudio-utils alsa-lib/libasound_module_pcm_pulse.so:libasound2-plugins \
    faketime:faketime"

# The tests of the core share what the build compiled, its encoders above all, and check arithmetic besides.
checked_release := "--release --config profile.release.package.core_rs.overflow-checks=true \
    --config profile.release.package.core_rs.debug-assertions=true"

_list:
    @just --list --unsorted

# Start Reelkeeper on this machine, with a local recorder: its sound devices, and synthetic inputs
demo: (_packages build_commands) _venv core _assets
    @exec {{ python }} -m reelkeeper demo

# The tests of the core come before its build, whose library they replace: a wheel made later takes that as it is.
# The core is linked on one processor; meanwhile the other looks at the Python.
# Everything that must hold: formats, types, layers, unit, integration, acceptance, short fault runs
test: (_packages build_commands) (_packages test_commands) _venv && _core_style _tests
    cargo test --quiet --workspace {{ checked_release }}
    @{{ just }} core & core=$!; {{ just }} _assets _python_style; wait $core

# FIRST_RELIABLE_RECORDING_BASELINE alone: a recording is made, found and heard, and every recovery that exists
baseline: setup
    {{ python }} -m pytest tests -m first_reliable_recording_baseline {{ side_by_side }}

# All that the other recipes need, on a bare Debian or Ubuntu
setup: (_packages build_commands) (_packages test_commands) _venv core _assets

# Style, types, layers and the stub of the core; warnings are errors
check: setup _python_style _core_style

# Mend what can be mended by itself
fix: setup
    .venv/bin/ruff check --fix
    .venv/bin/ruff format
    cargo fmt

# Build the audio core in place when its source is newer
core:
    @if [ -z "$(find core_rs -name '_core*.so' -newer Cargo.lock 2>/dev/null)" ] \
        || [ -n "$(find core_rs Cargo.toml pyproject.toml -newer "$(find core_rs -name '_core*.so' | head -n 1)" \( -name '*.rs' -o -name '*.toml' \))" ]; then \
        VIRTUAL_ENV="$PWD/.venv" .venv/bin/maturin develop --uv --release --locked --quiet && touch core_rs/_core*.so; \
    fi

# One file that holds everything: console, agent, core, static files
wheel: setup
    .venv/bin/maturin build --release --locked --quiet --out dist
    @ls dist/*.whl

# Measure the claims, all or one by its file name
bench NAME="": setup
    for file in bench/{{ if NAME == "" { "[a-z]*" } else { NAME } }}.py; do \
        grep -q '__main__' "$file" || continue; echo "== $file"; {{ python }} "$file"; done

# Break a running system on purpose: --seed, --count, --classes, --scale, --list; or --mutants, the table of broken rules
faults *ARGS: setup
    {{ python }} -m {{ if ARGS == "--mutants" { "reelkeeper.faultkit.mutants" } else { "reelkeeper.faultkit run " + ARGS } }}

# The whole campaign; what it did stands in faults.jsonl, and is not done again
campaign *ARGS: setup
    {{ python }} -m reelkeeper.faultkit run --seed 1 --count 2500 --full-length 0.02 --results faults.jsonl {{ ARGS }}
    {{ python }} -m reelkeeper.faultkit report faults.jsonl

# One fault a minute at full length, for hours: --hours; goes on where it was stopped, and says what grew
soak *ARGS: setup
    {{ python }} -m reelkeeper.faultkit soak {{ ARGS }}

# Upgrade a running system from another version, a tag or commit, and back, while it records: --count, --seed
versions REF *ARGS: setup
    {{ python }} -m reelkeeper.faultkit versions {{ REF }} {{ ARGS }}

# The tests that take minutes: real limits, all kills and power cuts
faults-long *ARGS: setup
    {{ python }} -m pytest tests/faults tests/browser -m "long or not long" {{ ARGS }}
    {{ python }} -m pytest tests/acceptance tests/integration -m long {{ ARGS }}

# Pin again what the projects need, with hashes
lock:
    uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --universal --python-version 3.11 pyproject.toml -o requirements.txt
    uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --universal --python-version 3.11 pyproject.toml --group dev -o requirements-dev.txt
    printf 'uv\nrust-just\n' | uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 - -o tools.txt
    npm update --silent --package-lock-only
    cargo update --quiet

_python_style:
    .venv/bin/ruff check
    .venv/bin/ruff format --check
    .venv/bin/mypy

_core_style:
    .venv/bin/stubtest core_rs --ignore-disjoint-bases --allowlist core_rs/stubtest-allowlist.txt
    cargo fmt --check
    cargo clippy --quiet --release --workspace --all-targets --all-features -- -D warnings

_tests:
    {{ python }} -m pytest tests/unit -n 2 --dist worksteal
    {{ python }} -m pytest tests/integration {{ side_by_side }}
    {{ python }} -m pytest tests/acceptance tests/faults -n 2 --dist worksteal
    {{ python }} -m pytest tests/browser -n 3 --dist loadfile

_packages COMMANDS:
    @missing=""; \
    for pair in {{ COMMANDS }}; do \
        command -v "${pair%%:*}" >/dev/null 2>&1 || ls /usr/lib/*/"${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"; \
    done; \
    if [ -n "$missing" ]; then \
        echo "Installing$missing"; \
        sudo=$([ "$(id -u)" = 0 ] || echo sudo); \
        $sudo apt-get update -qq; \
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; \
    fi

_venv:
    @if ! [ -x {{ python }} ]; then uv venv --quiet --python '>=3.11' .venv; fi
    @if ! cmp -s requirements-dev.txt .venv/installed.txt; then \
        uv pip sync --quiet --require-hashes --python {{ python }} requirements-dev.txt \
            && cp requirements-dev.txt .venv/installed.txt && rm -f core_rs/_core*.so; \
    fi

_assets:
    @if [ -n "$(find package-lock.json static/icons.txt static/make_icons.py -newer static/vendor/icons.svg 2>/dev/null || echo missing)" ]; then \
        npm ci --silent && mkdir -p static/vendor && cp node_modules/htmx.org/dist/htmx.min.js static/vendor/ \
            && {{ python }} static/make_icons.py node_modules/lucide-static/icons static/vendor/icons.svg; \
    fi
