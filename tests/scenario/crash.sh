#!/bin/bash
# Each process, and then the whole server, is killed while it works: nothing is lost, and nothing stands twice in the log.
. "$(dirname "$0")/lib"
scenario_begin
number=0
acknowledged=$W/acknowledged # TAG ID, of each push that the server took

next_tag() {
	number=$((number + 1))
	tag=v1.$number.0
}

# Pushes the prepared tag, and notes the release that the server promised to work off.
push_acknowledged() {
	push_tag "$tag" >"$W/push" 2>&1
	sed -n "s,.*/api/v1/releases/\([0-9A-Z]*\).*,$tag \1,p" "$W/push" >>"$acknowledged"
	expect "the push was not acknowledged: $(cat "$W/push")" grep -q "^$tag " "$acknowledged"
}

reached() { # GATE: does the log say that the present tag came so far?
	grep -q "tag=$tag gate=$1\$" "$W/server.log"
}

wait_to_reach() {
	local end=$((SECONDS + PATIENCE))
	until reached "$1"; do
		[ $SECONDS -lt $end ] || { why="$tag does not reach $1" && return 1; }
	done
}

worker_pid() { # of the scanner
	pgrep -P "$(role_pid scan)" | head -n 1
}

is_another() { # PID COMMAND…: has the process been started again?
	local now
	now=$("${@:2}") && [ -n "$now" ] && [ "$now" != "$1" ]
}

# Kills at a gate at which that process works, or is about to.
survives() { # GATE COMMAND-FOR-PID…
	local gate=$1 pid
	shift
	next_tag
	expect "it cannot be prepared" prepare_release "$tag" && push_acknowledged && wait_to_reach "$gate" || return
	pid=$("$@") && kill -9 "$pid" || { why="there is no such process" && return 1; }
	wait_for "$PATIENCE" is_another "$pid" "$@" || { why="it is not started again" && return 1; }
	expect_published "$tag"
}

all_gone() { # PID…
	local pid
	for pid in "$@"; do
		[ ! -d "/proc/$pid" ] || [ "$(cut -d' ' -f3 "/proc/$pid/stat")" = Z ] || return 1
	done
}

survives_whole() { # GATE
	local children
	next_tag
	expect "it cannot be prepared" prepare_release "$tag" && push_acknowledged && wait_to_reach "$1" || return
	children=$(server_children)
	server_stop KILL
	# shellcheck disable=SC2086
	wait_for 20 all_gone $children || { why="processes outlive their supervisor: $(ps -o pid=,args= -p "$(echo "$children" | paste -sd,)")" && return 1; }
	sandbox_start
	expect_published "$tag"
}

# Told of three tags, and killed at the very moment of its answer to the last one.
works_off_what_it_acknowledged() {
	local first=$((number + 1)) n
	for n in 1 2 3; do
		next_tag
		expect "it cannot be prepared" prepare_release "$tag" || return
	done
	for n in $((first)) $((first + 1)) $((first + 2)); do
		tag=v1.$n.0
		push_acknowledged || return
	done
	server_stop KILL
	sandbox_start
	for n in $((first)) $((first + 1)) $((first + 2)); do
		expect_published "v1.$n.0" || return
	done
}

each_is_there_once() {
	local name id
	while read -r name id; do
		expect "$name has more than one release" [ "$(release_text "$name" | grep -c '^release ')" = 1 ] &&
			expect "$name is another release than was promised" [ "$(release_id "$name")" = "$id" ] &&
			expect "$name has not one record" [ "$(records_of "$id" | wc -l)" = 1 ] &&
			expect "its record does not say signed" recorded "$name" signed &&
			expect "$name is not published whole" [ "$(find "$W/published/acme/widget/$name" -type f | wc -l)" = 4 ] || return
	done <"$acknowledged"
	expect "$number releases, $(wc -l <"$acknowledged") promised" [ "$(wc -l <"$acknowledged")" = "$number" ]
}

no_record_twice() {
	git -C "$W/git/audit.git" ls-tree -r --name-only main records | sed 's,.*/[0-9]*-,,' | sort | uniq -d >"$W/twice"
	expect "$(head -n 3 "$W/twice")" [ ! -s "$W/twice" ]
}

all_is_published_well() {
	local name
	while read -r name _; do
		expect "$name" tagseal verify --roots "$W/pki/code-ca.pem" --timestamp-roots "$W/pki/stamp-ca.pem" \
			"$W/published/acme/widget/$name/widget-${name#v}.exe" || return
	done <"$acknowledged"
}

# Nothing is left to be found out either: a use of the key whose answer a kill took is void in the log.
audit_finds_nothing() {
	local status
	expect "it cannot be cloned" audit_clone "$W/audit" || return
	audit "$W/audit" >"$W/findings" 2>&1
	status=$?
	expect "it ends with $status: $(cat "$W/findings")" [ $status = 0 ]
}

a_case "a killed engine takes up its releases" survives scan role_pid engine
a_case "a killed listener listens again" survives source role_pid listen
a_case "a killed gitops process is asked again" survives source role_pid gitops
a_case "a killed courier fetches again" survives fetch role_pid courier
a_case "a killed sealer costs one attempt" survives structure role_pid seal
a_case "a killed scanner costs one attempt" survives scan worker_pid
a_case "a killed zygote of the scanners is started again" survives scan role_pid scan
a_case "a killed judge is told again what it must have heard" survives sign role_pid judge
a_case "a killed signer is asked again" survives sign role_pid sign
a_case "a killed ledger writes no record twice" survives record role_pid ledger
a_case "an engine that is killed before its record is written writes it" survives record role_pid engine
a_case "the whole server is killed while it signs, leaves no process, and goes on" survives_whole sign
a_case "the whole server is killed before the record is written, and goes on" survives_whole record
a_case "every webhook that was acknowledged right before a kill is worked off" works_off_what_it_acknowledged
a_case "every release has one record, is the one that was promised, and is published" each_is_there_once
a_case "no record stands twice in the audit repository" no_record_twice
a_case "all that was published verifies" all_is_published_well
a_case "tagseal audit finds every record good, and every use of the key in a record or void" audit_finds_nothing
a_case "no process of the server offended a sanitizer" no_sanitizer_speaks
scenario_end
