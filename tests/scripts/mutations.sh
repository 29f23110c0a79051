#!/usr/bin/env bash
# Shows that the tests of docs/recipes.md are aimed: takes away one remedy at a time, as a patch of
# recipes/mutations says, and demands that each test which the patch names fails, and that it passes
# without the patch. Works on a copy of the tree, in target/mutations, which has build outputs of its own.
#
#   tests/scripts/mutations.sh            all of them
#   tests/scripts/mutations.sh 02-epoch   those named
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$root/target/mutations
copy=$work/tree
log=$work/log
export CARGO_TARGET_DIR=$work/target CARGO_TERM_COLOR=never
# The copy is no part of the repository around it.
export GIT_CEILING_DIRECTORIES=$work

# A test that fails by waiting does so within its own bound, far below this.
patience=300

cd "$root"
if [ $# -eq 0 ]; then
    set -- recipes/mutations/*.patch
fi
patches=()
for name in "$@"; do
    name=$(basename "$name" .patch)
    patches+=("$root/recipes/mutations/$name.patch")
done
mkdir -p "$work"
git ls-files --cached --others --exclude-standard >"$work/names"
# What is the same stays untouched, so that it need not be built again.
cmp -s "$work/names" "$work/copied" || rm -rf "$copy" "$work/copied"
mkdir -p "$copy"
while read -r file; do
    cmp -s "$file" "$copy/$file" || cp --parents "$file" "$copy"
done <"$work/names"
mv "$work/names" "$work/copied"
cd "$copy"

# The tests of patches: package, target, name.
tests() { sed -n 's/^Test: //p' "$@"; }

# run PACKAGE TARGET... NAME
run() { timeout "$patience" cargo test -p "$1" "${@:2:$#-2}" -- --exact "${!#}" >"$log" 2>&1; }

failures=0
say() { printf '%-9s %-18s %s\n' "$@"; }
complain() {
    failures=$((failures + 1))
    say "$@"
}

while read -r -a words; do
    run "${words[@]}" && grep -q "^test ${words[-1]} \.\.\. ok" "$log" ||
        complain 'NOT GREEN' unchanged "${words[-1]}"
done < <(tests "${patches[@]}" | sort -u)

for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    if ! git apply "$patch" 2>"$log"; then
        complain STALE "$name" 'does not apply'
        continue
    fi
    while read -r -a words; do
        run "${words[@]}" || true
        if grep -q "^test ${words[-1]} \.\.\. FAILED" "$log"; then
            reason=$(grep -A2 'panicked at' "$log" | sed -n '2,3p' | tr -s ' \n' ' ' | cut -c 1-100)
            say caught "$name" "${words[-1]}: $reason"
        elif grep -q '^error' "$log"; then
            complain BROKEN "$name" "${words[-1]} does not build"
        else
            complain MISSED "$name" "${words[-1]} passes without the remedy"
        fi
    done < <(tests "$patch")
    git apply --reverse "$patch"
done
echo "${#patches[@]} mutations, $failures complaints"
[ "$failures" -eq 0 ]
