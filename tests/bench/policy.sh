# A policy repository of 10,000 commits, verified from its root: what a commit costs there and among the first thousand, and
# what a second look costs beside the first.
# shellcheck shell=bash disable=SC2154

bench_policy() {
	local few many first second rounds=3
	read -r few many first second < <("$build/tests/bench/chain" $rounds "$work/policy") || die "the policy's history cannot be measured"
	echo "a policy commit $few µs among 1,000 and $many µs among 10,000; all of them $(milliseconds "$first"), one change more $(milliseconds "$second") (medians of $rounds rounds)"
	verdict "a policy commit among 10,000, beside one among 1,000" "$(ratio "$many" "$few")" 1.30 ""
	verdict "a second look at 10,000 policy commits, beside the first" "$(awk -v a="$second" -v b="$first" 'BEGIN { printf "%.2f", 100 * a / b }')" 3.00 " %"
}
