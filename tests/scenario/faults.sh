#!/bin/bash
# What the server needs is away: it stays up, the release says what it waits for, and goes on by itself once that is back.
. "$(dirname "$0")/lib"
scenario_begin
pin=$W/server/secrets/pin
locked=$W/server/state/journal/main.locked

port_in_use() {
	server_stop TERM
	"$BUILD_DIR/dev-tsa" --port "$http_port" --certificate "$W/pki/stamp.pem" --key "$W/pki/stamp.key" >>"$W/tsa.log" 2>&1 &
	local other=$!
	wait_for 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$http_port"
	timeout 30 "$BUILD_DIR/tagseald" --config "$W/server/config.toml" >"$W/port.log" 2>&1
	local status=$?
	kill $other
	wait $other 2>/dev/null
	expect "its exit status is $status, not 3" [ $status = 3 ] &&
		expect "not one sentence names the port: $(cat "$W/port.log")" [ "$(grep -c "127.0.0.1:$http_port.*in use" "$W/port.log")" = 1 ]
}

starts_without_everything() {
	mv "$W/clamav/eicar.ndb" "$W/eicar.ndb"
	mv "$pin" "$W/pin" && printf '0000-wrong\n' >"$pin" && chmod 600 "$pin"
	kill "$sandbox_tsa_pid" && wait "$sandbox_tsa_pid" 2>/dev/null
	sandbox_start
	expect "it cannot be prepared" prepare_release v1.0.0 && expect "it cannot be pushed" push_tag v1.0.0
}

waits_for_databases() {
	expect_gate v1.0.0 scan 'waiting .*([Dd]atabase|signatures)' && expect "it is clean" sh -c "! curl -s http://127.0.0.1:$http_port/api/v1/releases | grep -q clean"
}

wrong_pin_is_told() {
	mv "$W/eicar.ndb" "$W/clamav/eicar.ndb"
	expect_gate v1.0.0 sign 'waiting .*refused the PIN'
}

wrong_pin_is_tried_once() {
	local before after
	before=$(stat -c %Y.%y "$locked") || return
	kill -9 "$(role_pid sign)"
	wait_for 20 role_pid sign && sleep 2
	after=$(stat -c %Y.%y "$locked")
	expect "it was tried again: $before, $after" [ "$before" = "$after" ] && expect_gate v1.0.0 sign 'waiting .*refused the PIN'
}

waits_for_a_stamp() {
	cp "$W/pin" "$W/pin.new" && chmod 600 "$W/pin.new" && mv "$W/pin.new" "$pin"
	expect_gate v1.0.0 timestamp 'waiting .*timestamp authority'
}

goes_on_with_the_authority() {
	sandbox_timestamp_authority
	expect_published v1.0.0 && expect "it is not published" ls "$W/published/acme/widget/v1.0.0/widget-1.0.0.exe"
}

token_is_missing() {
	server_stop TERM
	mv "$W/tokens" "$W/tokens.away" && mkdir "$W/tokens"
	sandbox_start
	expect "it cannot be prepared" prepare_release v1.0.1 && expect "it cannot be pushed" push_tag v1.0.1 &&
		expect_gate v1.0.1 sign 'waiting .*token' && rmdir "$W/tokens" && mv "$W/tokens.away" "$W/tokens" && expect_published v1.0.1
}

git_host_is_down() {
	expect "it cannot be prepared" prepare_release v1.0.2 && kill "$sandbox_nginx_pid" && wait "$sandbox_nginx_pid" 2>/dev/null
	expect "it cannot be pushed" as dev git -C "$W/work/dev" push -q "$W/git/widget.git" refs/tags/v1.0.2 &&
		expect_gate v1.0.2 source 'waiting .*127\.0\.0\.1' && sandbox_nginx && expect_published v1.0.2
}

artifact_comes_late() {
	expect "it cannot be prepared" prepare_release v1.0.3 && mv "$W/artifacts/1.0.3" "$W/artifacts/later" && expect "it cannot be pushed" push_tag v1.0.3 &&
		expect_gate v1.0.3 fetch 'waiting' && mv "$W/artifacts/later" "$W/artifacts/1.0.3" && expect_published v1.0.3
}

audit_remote_is_away() {
	expect "it cannot be prepared" prepare_release v1.0.4 && mv "$W/git/audit.git" "$W/audit.away" && expect "it cannot be pushed" push_tag v1.0.4 &&
		expect_gate v1.0.4 record 'waiting .*remote' && expect "it is published" [ ! -e "$W/published/acme/widget/v1.0.4" ] &&
		mv "$W/audit.away" "$W/git/audit.git" && expect_published v1.0.4 && expect "it is not published" [ -e "$W/published/acme/widget/v1.0.4" ]
}

audit_is_good() {
	expect "it cannot be cloned" audit_clone "$W/audit" && expect "it is not" audit "$W/audit"
}

a_case "a port in use is told in one sentence, and ends the start with status 3" port_in_use
a_case "the server starts without databases, with a wrong PIN and without a timestamp authority" starts_without_everything
a_case "without malware databases a release is held, not called clean" waits_for_databases
a_case "when the databases come it goes on by itself, and then tells of the wrong PIN" wrong_pin_is_told
a_case "a wrong PIN is tried once, also when the process starts again" wrong_pin_is_tried_once
a_case "with the right PIN the release goes on by itself, and then waits for a timestamp" waits_for_a_stamp
a_case "when the timestamp authority is back the release is published" goes_on_with_the_authority
a_case "without its token the server stays up, and goes on when the token is back" token_is_missing
a_case "when the git host is back the release goes on" git_host_is_down
a_case "a build that comes late is waited for" artifact_comes_late
a_case "nothing is published before the required remote has its record" audit_remote_is_away
a_case "tagseal audit says good of what was recorded" audit_is_good
a_case "no process of the server offended a sanitizer" no_sanitizer_speaks
scenario_end
