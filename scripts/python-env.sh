#!/usr/bin/env bash
# Creates or refreshes one Python environment of the repository: .envs/NAME from requirements/NAME.txt.
#
#   scripts/python-env.sh NAME...       make these environments (fast when they are up to date)
#   scripts/python-env.sh --all         make all of them
#   scripts/python-env.sh --lock NAME   resolve requirements/NAME.in again (also: --lock --all, --lock build, --lock uv)
#
# Prints nothing but progress on standard error; afterwards .envs/NAME/bin/python is ready to use.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
envs="$root/.envs"
requirements="$root/requirements"
python=${PYTHON:-python3}
# Lowest Python the lock files are resolved for.
lock_python=3.11
all_names=(crewai langgraph tools fastmcp a2a dev nats node)
# Environments that also get the worker SDK of this repository, editable and without its dependencies (it has none).
sdk_names=" crewai langgraph dev "

fail() {
  echo "python-env: $*" >&2
  exit 1
}

usage() {
  sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  echo "environments: ${all_names[*]}" >&2
  exit 2
}

# Everything that decides what an environment contains, as one hash.
fingerprint() {
  {
    "$python" --version
    cat "$@"
  } | sha256sum | cut -d' ' -f1
}

up_to_date() { # NAME HASH
  [[ -x "$envs/$1/bin/python" && -f "$envs/$1/.fingerprint" && "$(<"$envs/$1/.fingerprint")" == "$2" ]]
}

ensure_uv() {
  local hash
  hash=$(fingerprint "$requirements/uv.txt")
  up_to_date uv "$hash" && return
  echo "python-env: installing uv" >&2
  rm -rf "$envs/uv"
  "$python" -m venv "$envs/uv"
  "$envs/uv/bin/python" -m pip install --quiet --require-hashes --no-deps -r "$requirements/uv.txt"
  echo "$hash" >"$envs/uv/.fingerprint"
}

make_env() { # NAME
  local name=$1 lock="$requirements/$1.txt" hash inputs
  [[ -f "$lock" ]] || fail "no $lock: known environments are ${all_names[*]}"
  inputs=("$lock")
  [[ "$sdk_names" == *" $name "* ]] && inputs+=("$requirements/build.txt" "$root/sdk/python/pyproject.toml")
  hash=$(fingerprint "${inputs[@]}")
  if up_to_date "$name" "$hash"; then
    return
  fi
  ensure_uv
  echo "python-env: making .envs/$name" >&2
  rm -f "$envs/$name/.fingerprint"
  "$uv" venv --quiet --clear --python "$python" "$envs/$name"
  "$uv" pip sync --quiet --python "$envs/$name/bin/python" --require-hashes "$lock"
  if [[ "$sdk_names" == *" $name "* ]]; then
    "$uv" pip install --quiet --python "$envs/$name/bin/python" --no-deps \
      --build-constraints "$requirements/build.txt" --editable "$root/sdk/python"
  fi
  # Written last: an interrupted run leaves no fingerprint and is repeated.
  echo "$hash" >"$envs/$name/.fingerprint"
}

lock_env() { # NAME
  [[ -f "$requirements/$1.in" ]] || fail "no requirements/$1.in"
  ensure_uv
  echo "python-env: resolving requirements/$1.in" >&2
  (cd "$root" && "$uv" pip compile --quiet --upgrade --universal --python-version "$lock_python" \
    --generate-hashes --no-header --no-emit-index-url "requirements/$1.in" -o "requirements/$1.txt")
}

action=make_env
if [[ "${1:-}" == --lock ]]; then
  action=lock_env
  shift
fi
[[ $# -gt 0 ]] || usage
[[ "$1" == --help || "$1" == -h ]] && usage
[[ "$1" == --all ]] && set -- "${all_names[@]}"

uv="$envs/uv/bin/uv"
mkdir -p "$envs"
# Two callers at once (say, two test runs) must not build the same environment together.
exec 9>"$envs/.lock"
flock 9
for name in "$@"; do
  "$action" "$name"
done
