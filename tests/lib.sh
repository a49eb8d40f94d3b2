# What the test programs in tests/*/run share: where they install to, and how. Sourced, never run.
#
# The caller has set `name` (for messages), `here` and `root`, and calls `begin` first.

die() {
  echo "$name: $*" >&2
  exit 2
}

# Checks the program under test at $1, and sets `binary` and the folder `cache`, which is kept between
# runs: LANGWATCH_TEST_CACHE, or the folder `sdk` of the cargo target folder.
begin() {
  [ $# -ge 1 ] || die "usage: $name PATH-OF-LANGWATCH [more arguments]"
  [ -x "$1" ] || die "no such program: $1 (cargo build -p langwatch makes target/debug/langwatch)"
  binary=$(realpath "$1")
  command -v python3 >/dev/null || die "python3 is missing: apt-get install python3 python3-pip"
  cache=${LANGWATCH_TEST_CACHE:-${CARGO_TARGET_DIR:-$root/target}/sdk}
  mkdir -p "$cache"
  cache=$(realpath "$cache")
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
  unset PYTHONPATH PYTHONHOME
}

# Runs "$@" while no other test program installs anything.
alone() {
  exec 9>"$cache/lock"
  flock 9
  "$@"
  flock --unlock 9
}

# An empty environment at $1, also where Debian has split `venv` or `ensurepip` off.
make_venv() {
  rm -rf "$1"
  python3 -m venv "$1" >/dev/null 2>&1 && [ -x "$1/bin/pip" ] && return
  rm -rf "$1"
  local tool="$cache/virtualenv"
  if { [ -d "$tool/virtualenv" ] || python3 -m pip install --quiet --target "$tool" virtualenv; } &&
    PYTHONPATH="$tool" python3 -m virtualenv --quiet "$1"; then
    return
  fi
  rm -rf "$1"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y python3-venv; } >&2
    python3 -m venv "$1" && return
  fi
  die "python3 can make no virtual environment: apt-get install python3-venv"
}

# Runs the rest of the arguments if folder $1 was not made by this very stamp $2.
once() {
  local folder=$1 stamp=$2
  shift 2
  if [ "$(cat "$folder/.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "installing $(basename "$folder") into $cache" >&2
    "$@"
    echo "$stamp" >"$folder/.stamp"
  fi
}

# An environment at $1 with what the file $2 names and the file $3 pins.
python_with() {
  once "$1" "$({ python3 -V && cat "$2" "$3"; } | sha256sum)" install_python "$1" "$2"
}

install_python() {
  make_venv "$1"
  "$1/bin/pip" install --quiet -r "$2"
}

has_node() {
  command -v node >/dev/null && command -v npm >/dev/null &&
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]
}

# The packages that the folder $2 locks, installed at $1. Scripts of packages do not run, but of those that
# are named after it. Not by `npm ci`: that refuses a lock without the optional packages of platforms that
# the registry of whoever made it did not have. Versions and hashes are those of the lock all the same.
node_with() {
  once "$1" "$({ node --version && echo "$@" && cat "$2/package-lock.json"; } | sha256sum)" \
    install_node "$@"
}

install_node() {
  local to=$1 from=$2
  shift 2
  rm -rf "$to"
  mkdir -p "$to"
  cp "$from/package.json" "$from/package-lock.json" "$to"
  npm install --prefix "$to" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  [ $# = 0 ] || npm rebuild --prefix "$to" --loglevel=error "$@" >&2
}
