# The two figures of the running server, in a world of contrib/sandbox.sh: a webhook's answer beside the fsync that it
# needs, and a whole release beside the sum of what it cannot do without.
# shellcheck shell=bash disable=SC2154

# Durable steps that a release needs, each one fsync: the delivery, the outcome of nine gates, two inputs and three outputs
# with their names in the spool's folder, three key uses, the ledger's pack, index, two folders and ref, and five published
# files with their folder.
release_fsyncs=$((1 + 9 + 5 + 5 + 3 + 5 + 6))
release_rounds=3

server_world() {
	[ ! -e "$work/world" ] || return 0
	BUILD_DIR=$build sandbox_poll=1h
	# shellcheck source=contrib/sandbox.sh
	. contrib/sandbox.sh
	set +e
	bench_clean() { sandbox_stop; }
	sandbox_new "$work/world"
	set -e
}

deliver() {
	"$build/tests/bench/deliver" "$http_port" "$W/server/secrets/hook-standard" acme/widget "$@"
}

bench_webhook() {
	local floor post rounds=41
	server_world
	read -r floor post < <(deliver --beside "$W/server/state" $rounds) || die "the webhooks cannot be measured: $W/server.log"
	echo "webhook answered in $(milliseconds "$post"); append and fdatasync of as many bytes $(milliseconds "$floor") (medians of $rounds rounds)"
	verdict "a webhook answered durably, beside the fsync it needs" "$(ratio "$post" "$floor")" 3.00 ""
}

# Wall time of one command, in microseconds.
wall() {
	local cpu wall memory
	read -r cpu wall memory < <("$build/tests/bench/race" 1 "$W/none" "$@") || die "this should have worked: $*"
	echo "$wall"
}

# Everything of a release but the webhook: pushed while the hook is away.
release_prepare() { # VERSION
	sandbox_build "$1"
	sandbox_tag "v$1" && sandbox_approve alice "v$1" && sandbox_approve bob "v$1"
}

# What a git host and a web server take to hand out what a release needs, with git and curl: tag, approvals and policy; two
# artifacts; two timestamps.
release_fetches() { # VERSION
	local source policy files stamps artifacts=http://127.0.0.1:$git_port/artifacts/$1
	source=$(wall git -C "$W/mirror.git" fetch -q origin '+refs/tags/*:refs/tags/*' '+refs/heads/*:refs/heads/*')
	policy=$(wall git -C "$W/policy-mirror.git" fetch -q origin '+refs/heads/*:refs/heads/*')
	files=$(wall curl -sf -o "$W/got.exe" "$artifacts/widget-$1.exe" -o "$W/got.tar.gz" "$artifacts/widget-$1.tar.gz")
	stamps=$(wall curl -sf -o "$W/got.tsr" -H 'Content-Type: application/timestamp-query' --data-binary "@$W/query.tsq" \
		"http://127.0.0.1:$tsa_port/" -o "$W/got2.tsr" "http://127.0.0.1:$tsa_port/")
	echo "fetches of $1: git source $(milliseconds "$source"), git policy $(milliseconds "$policy")," \
		"curl artifacts $(milliseconds "$files"), curl timestamps $(milliseconds "$stamps")" >&2
	echo $((source + policy + files + stamps))
}

# The signatures (three by the release key, one by the ledger's), scans and hashes of inputs and outputs, and the fsyncs.
release_inner() { # VERSION
	local version=$1 release ledger scan hash sync out=$W/published/acme/widget/v$1
	mkdir -p "$W/server/state/bench"
	read -r release ledger scan hash sync < <("$build/tests/bench/parts" 9 "$module" tagseal "$W/server/secrets/pin" \
		release-2026 tagseal-ledger "$W/clamav" "$W/server/state/bench" "$W/artifacts/$version/widget-$version.exe" \
		"$W/artifacts/$version/widget-$version.tar.gz" "$out/widget-$version.exe") || die "a release's parts cannot be measured"
	echo "parts of $version: a signature $(milliseconds "$release"), the ledger's $(milliseconds "$ledger"), scans $(milliseconds "$scan")," \
		"hashes $(milliseconds "$hash"), $release_fsyncs fsyncs of $(milliseconds "$sync")" >&2
	echo $((3 * release + ledger + scan + hash + release_fsyncs * sync))
}

# From the delivery's line in the server's log to the outcome's, in microseconds.
release_took() { # TAG DELIVERY-LINES-BEFORE
	local began ended
	began=$(grep 'hook=standard' "$W/server.log" | tail -n +$(($2 + 1)) | head -1 | cut -d' ' -f1)
	ended=$(grep "tag=$1 outcome=signed" "$W/server.log" | cut -d' ' -f1)
	[ -n "$began" ] && [ -n "$ended" ] || die "$1 was not released: $(release_text "$1")"
	echo $((($(date -d "$ended" +%s%N) - $(date -d "$began" +%s%N)) / 1000))
}

middle() { # NUMBERS: the median
	printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

bench_release() {
	local round version before took parts fetches inner all_took=() all_parts=() ratios=()
	server_world
	mv "$W/git/widget.git/hooks/post-receive" "$W/post-receive"
	git clone -q --bare "http://127.0.0.1:$git_port/widget.git" "$W/mirror.git"
	git clone -q --bare "http://127.0.0.1:$git_port/policy.git" "$W/policy-mirror.git"
	openssl ts -query -data "$W/softhsm2.conf" -sha256 -cert -out "$W/query.tsq" 2>/dev/null
	for round in $(seq 0 $release_rounds); do # the first only warms up
		version=2.0.$round
		release_prepare "$version" >>"$W/release.log" 2>&1 || die "v$version cannot be prepared: $(tail -n 3 "$W/release.log")"
		before=$(grep -c 'hook=standard' "$W/server.log")
		deliver "refs/tags/v$version" "$(git -C "$W/work/dev" rev-parse "v$version")"
		wait_for 60 grep -q "tag=v$version outcome=" "$W/server.log" || die "v$version goes nowhere: $(release_text "v$version")"
		took=$(release_took "v$version" "$before")
		fetches=$(release_fetches "$version")
		inner=$(release_inner "$version")
		parts=$((fetches + inner))
		echo "v$version: $(milliseconds "$took") from webhook to published; git and HTTP $(milliseconds "$fetches")," \
			"the rest of its parts $(milliseconds "$inner"); $(ratio "$took" "$parts")"
		[ "$round" != 0 ] || continue
		all_took+=("$took") all_parts+=("$parts") ratios+=("$(ratio "$took" "$parts")")
	done
	mv "$W/post-receive" "$W/git/widget.git/hooks/post-receive"
	echo "a release takes $(milliseconds "$(middle "${all_took[@]}")"), its parts $(milliseconds "$(middle "${all_parts[@]}")") (medians of $release_rounds)"
	verdict "a whole release, beside the sum of its unavoidable parts" "$(middle "${ratios[@]}")" 1.50 ""
}
