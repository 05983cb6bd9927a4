# The source repository: a first tag beside `git fetch` of the same refs, and the next tag, over http from git's own http-backend.
# shellcheck shell=bash disable=SC2154

source_commits=50000
source_rounds=3

# 50,000 commits, each of which changes one of 2,000 files in 40 folders. COMMITS FROM: on top of what is there.
source_history() { # FIRST LAST
	awk -v first="$1" -v last="$2" 'BEGIN {
		for (i = first; i <= last; i++) {
			text = sprintf("%d %d %d\n", i, i * 7919, i * 104729)
			message = "Change " i
			printf "commit refs/heads/main\ncommitter Dev <dev@example.org> %d +0000\ndata %d\n%s\n", 1600000000 + i * 60, length(message), message
			if (i == first && first > 1) printf "from refs/heads/main^0\n"
			printf "M 100644 inline folder-%d/file-%d\ndata %d\n%s\n", i % 40, i % 2000, length(text), text
		}
	}' | git -C "$W/git/big.git" fast-import --quiet
	git -C "$W/git/big.git" -c user.name=Dev -c user.email=dev@example.org tag -a -m "Release $2" "v$2" main
}

# Processor and wall time of one command in microseconds, of it and all that it starts.
source_race() {
	"$build/tests/bench/race" 1 "$work/none" "$@"
}

source_pair() { # ROUND: one line "git-cpu git-wall our-cpu our-wall"
	local url=http://127.0.0.1:$git_port/big.git git ours
	[ -d "$work/git-$1.git" ] || git init -q --bare "$work/git-$1.git"
	git=$(source_race git -C "$work/git-$1.git" fetch -q --no-tags "$url" '+refs/tags/*:refs/tags/*' '+refs/heads/main:refs/heads/main') || return
	ours=$(source_race "$build/tests/bench/mirror" "$work/ours-$1.git" "$url" 'refs/tags/*' refs/heads/main) || return
	echo "$(cut -d' ' -f1,2 <<<"$git") $(cut -d' ' -f1,2 <<<"$ours")"
}

# Medians over the rounds, column by column.
source_medians() {
	local column
	for column in 1 2 3 4; do
		cut -d' ' -f$column "$1" | sort -n | sed -n "$(((source_rounds + 1) / 2))p"
	done | paste -sd ' '
}

source_step() { # WHAT
	local round git_cpu git_wall our_cpu our_wall
	: >"$work/source-rounds"
	for round in $(seq $source_rounds); do
		source_pair "$round" >>"$work/source-rounds" || die "the source repository cannot be fetched"
	done
	read -r git_cpu git_wall our_cpu our_wall < <(source_medians "$work/source-rounds")
	echo "$1: git fetch $(milliseconds "$git_wall") (processor $(milliseconds "$git_cpu"))," \
		"ours $(milliseconds "$our_wall") (processor $(milliseconds "$our_cpu"))"
	verdict "$1, beside git fetch" "$(ratio "$our_wall" "$git_wall")" 1.50 ""
	verdict "$1, processor time beside git fetch" "$(ratio "$our_cpu" "$git_cpu")" 1.50 ""
}

bench_source() {
	server_world
	sandbox_bare big.git
	source_history 1 $source_commits
	source_step "the first tag of $source_commits commits"
	source_history $((source_commits + 1)) $((source_commits + 20))
	source_step "the next tag, 20 commits later"
	rm -rf "$work"/git-*.git "$work"/ours-*.git
}
