#!/bin/bash
# The main job on real parts: a signed tag, two approvals, nine gates, and what strangers' tools say of what came out.
. "$(dirname "$0")/lib"
scenario_begin
out=$W/published/acme/widget/v1.0.0

passes_nine_gates() {
	sandbox_build 1.0.0
	expect "the tag cannot be pushed" sandbox_tag v1.0.0 && expect_gate v1.0.0 approval waiting &&
		expect "the approvals cannot be pushed" approve_both v1.0.0 && expect_published v1.0.0 &&
		expect "not nine gates passed" [ "$(release_text v1.0.0 | grep -cE '^ +[a-z]+ passed$')" = 9 ]
}

osslsigncode_accepts() {
	expect "osslsigncode refuses it" osslsigncode verify -CAfile "$W/pki/code-ca.pem" -TSA-CAfile "$W/pki/stamp-ca.pem" \
		-in "$out/widget-1.0.0.exe" && expect "no timestamp in it" grep -q 'Timestamp is verified\|Timestamp Server Signature verification: ok' "$W/output"
}

gpg_accepts() {
	mkdir -p -m 700 "$W/gnupg"
	as carol git -C "$W/work/policy" show main:keys/release-2026.asc >"$W/release-2026.asc" &&
		expect "gpg cannot import the key" gpg --homedir "$W/gnupg" --import "$W/release-2026.asc" &&
		expect "gpg refuses it" gpg --homedir "$W/gnupg" --verify "$out/widget-1.0.0.tar.gz.asc" "$out/widget-1.0.0.tar.gz"
}

openssl_accepts() {
	expect "openssl refuses it" openssl cms -verify -inform DER -in "$out/widget-1.0.0.tar.gz.p7s" -content "$out/widget-1.0.0.tar.gz" -binary \
		-CAfile "$W/pki/code-ca.pem" -purpose any -out /dev/null
}

openssl_refuses_other_bytes() {
	cp "$out/widget-1.0.0.tar.gz" "$W/other.tar.gz" && echo >>"$W/other.tar.gz"
	expect "openssl accepts it" [ 4 = "$(openssl cms -verify -inform DER -in "$out/widget-1.0.0.tar.gz.p7s" -content "$W/other.tar.gz" -binary \
		-CAfile "$W/pki/code-ca.pem" -purpose any -out /dev/null >"$W/output" 2>&1; echo $?)" ]
}

tagseal_accepts() {
	local roots=(--roots "$W/pki/code-ca.pem" --timestamp-roots "$W/pki/stamp-ca.pem" --openpgp-keys "$W/release-2026.asc")
	expect "the program" tagseal verify "${roots[@]}" "$out/widget-1.0.0.exe" &&
		expect "the archive's OpenPGP signature" tagseal verify "${roots[@]}" --detached "$out/widget-1.0.0.tar.gz.asc" "$out/widget-1.0.0.tar.gz" &&
		expect "the archive's CMS" tagseal verify "${roots[@]}" --detached "$out/widget-1.0.0.tar.gz.p7s" "$out/widget-1.0.0.tar.gz"
}

# This program's checksum is at 216; Authenticode fills up to a multiple of eight.
input_is_unchanged_below_the_signature() {
	local size
	size=$(stat -c %s "$W/artifacts/1.0.0/widget-1.0.0.exe")
	expect "it cannot be stripped" tagseal strip --output "$W/stripped.exe" "$out/widget-1.0.0.exe" &&
		expect "the archive was changed" cmp "$W/artifacts/1.0.0/widget-1.0.0.tar.gz" "$out/widget-1.0.0.tar.gz" &&
		expect "the program was changed" [ "$(cmp -l -n "$size" "$W/artifacts/1.0.0/widget-1.0.0.exe" "$W/stripped.exe" | awk '$1 <= 216 || $1 > 220' | wc -l)" = 0 ]
}

download_is_the_published() {
	local name id
	id=$(release_id v1.0.0)
	for name in widget-1.0.0.exe widget-1.0.0.tar.gz widget-1.0.0.tar.gz.asc widget-1.0.0.tar.gz.p7s; do
		expect "$name cannot be downloaded" curl -sSf -o "$W/download" "http://127.0.0.1:$http_port/api/v1/releases/$id/artifacts/$name" &&
			expect "$name is another" cmp "$W/download" "$out/$name" || return
	done
}

git_says_good_for_every_commit() {
	expect "it cannot be cloned" audit_clone "$W/audit" || return
	git -C "$W/audit" -c gpg.ssh.allowedSignersFile="$W/audit/allowed_signers" log --format='%G? %s' >"$W/signatures" 2>"$W/output"
	expect "not every commit has a good signature: $(grep -v '^G ' "$W/signatures" | head -n 3)" \
		[ "$(grep -c '^G ' "$W/signatures")" = "$(git -C "$W/audit" rev-list --count HEAD)" ] &&
		expect "git log --show-signature does not say so" sh -c "git -C '$W/audit' -c gpg.ssh.allowedSignersFile='$W/audit/allowed_signers' \
			log -1 --show-signature | grep -q 'Good \"git\" signature'"
}

openssl_accepts_every_stamp() {
	local token n=0
	for token in $(find "$W/audit/evidence" -name '*.tsr'); do
		expect "$token" openssl ts -verify -queryfile "${token%.tsr}.tsq" -in "$token" -CAfile "$W/pki/stamp-ca.pem" || return
		n=$((n + 1))
	done
	expect "$n tokens, not two or three" [ $n -ge 2 ]
}

audit_is_good() {
	expect "it is not" audit "$W/audit" && expect "no first line \"good N records\"" grep -q '^good [0-9]* records' "$W/output"
}

audit_holds_timestamps_against_roots() {
	expect "it is not good with them" audit "$W/audit" --timestamp-roots "$W/pki/stamp-ca.pem" &&
		expect "it says that there were none" sh -c "! grep -q 'timestamp-roots' '$W/output'" &&
		expect "it says nothing of the wrong ones" [ "$(audit "$W/audit" --timestamp-roots "$W/pki/code-ca.pem" 2>&1 | grep -c 'no good chain to the timestamp roots')" -gt 0 ]
}

log_says_where_it_listens() {
	expect_log "event=listen http=\"127\.0\.0\.1:$http_port\""
}

audit_finds_what_was_changed() {
	local record
	cp -r "$W/audit" "$W/forged" && record=$(cd "$W/forged" && find records -name "*$(release_id v1.0.0).json") &&
		sed -i 's/"tag":"v1.0.0"/"tag":"v9.9.9"/' "$W/forged/$record" &&
		as mallory git -C "$W/forged" commit -q -S -a -m "Nothing to see here" &&
		expect "it says nothing" [ "$(audit "$W/forged" >"$W/output" 2>&1; echo $?)" = 1 ]
}

moved_tag_is_rejected() {
	as dev git -C "$W/work/dev" tag -f -s v1.0.0 -m "Another 1.0.0" >/dev/null 2>&1
	expect "it cannot be pushed" as dev git -C "$W/work/dev" push -q -f origin refs/tags/v1.0.0 &&
		expect_refused v1.0.0 rejected source 'signed already'
}

approvals_may_come_first() {
	expect "it cannot be approved" prepare_release v1.0.1 && expect "it cannot be pushed" push_tag v1.0.1 && expect_published v1.0.1
}

one_approval_is_not_enough() {
	sandbox_build 1.1.0
	expect "it cannot be pushed" sandbox_tag v1.1.0 && expect "it cannot be approved" sandbox_approve alice v1.1.0 &&
		expect_gate v1.1.0 approval 'waiting .*1 of 2'
}

taggers_own_does_not_count() {
	expect "it cannot be approved" sandbox_approve dev v1.1.0 || return
	sleep 3
	expect_gate v1.1.0 approval 'waiting .*1 of 2' && expect "something was published" [ ! -e "$W/published/acme/widget/v1.1.0" ]
}

one_denial_ends_it() {
	expect "it cannot be denied" as bob sh -c "cd '$W/work/bob' && git tagseal deny v1.1.0 --reason 'it leaks'" &&
		expect_refused v1.1.0 denied approval .
}

poll_finds_tag_and_approvals() {
	server_stop TERM
	sed -i 's/^poll = .*/poll = "1s"/' "$W/server/config.toml"
	mv "$W/git/widget.git/hooks/post-receive" "$W/post-receive"
	sandbox_start
	sandbox_build 1.2.0
	expect "it cannot be pushed" sandbox_tag v1.2.0 && expect_gate v1.2.0 approval waiting &&
		expect "it cannot be approved" approve_both v1.2.0 && expect_published v1.2.0
}

# One member of the newest record of a tag, by the text of its canonical JSON.
record_member() { # TAG PATTERN, with one group
	local file
	file=$(cd "$W/audit-2" && find records -name "*$(release_id "$1").json") && sed -nE "s/.*$2.*/\\1/p" "$W/audit-2/$file"
}

range_is_in_the_log() {
	local base digest
	expect "it cannot be cloned" audit_clone "$W/audit-2" || return
	base=$(record_member v1.2.0 '"base":\{"commit":"([0-9a-f]{40})"')
	digest=$(record_member v1.2.0 '"commits":[0-9]+,"complete":true,"sha256":"(sha256:[0-9a-f]{64})"')
	expect "the base is not the release before it: $base" [ "$base" = "$(git -C "$W/work/dev" rev-parse 'v1.0.1^{commit}')" ] &&
		expect "the digest is another than a clone's" \
			[ "range $digest" = "$(tagseal range --base "$base" --only-digest "$W/work/dev" v1.2.0)" ] &&
		expect "the files have other digests than a clone's" \
			tagseal manifest --expect "$(record_member v1.2.0 '"tree_sha256":"(sha256:[0-9a-f]{64})"')" "$W/work/dev" v1.2.0 &&
		expect "the audit says no" audit "$W/audit-2"
}

a_case "the log says where the server listens" log_says_where_it_listens
a_case "v1.0.0 with two approvals passes all nine gates" passes_nine_gates
a_case "osslsigncode accepts the published program and its timestamp" osslsigncode_accepts
a_case "gpg accepts the archive's OpenPGP signature with the key that the policy holds" gpg_accepts
a_case "openssl accepts the archive's CMS signature" openssl_accepts
a_case "openssl refuses that signature over other bytes" openssl_refuses_other_bytes
a_case "tagseal verify says good of all that was published" tagseal_accepts
a_case "what was built is what was signed, but for the signature and the header's checksum" input_is_unchanged_below_the_signature
a_case "what the server hands out is what it published" download_is_the_published
a_case "git says Good for every commit of a clone of the audit repository" git_says_good_for_every_commit
a_case "openssl accepts every timestamp in the audit repository" openssl_accepts_every_stamp
a_case "tagseal audit says good of that clone" audit_is_good
a_case "tagseal audit holds each timestamp against the authority's roots" audit_holds_timestamps_against_roots
a_case "tagseal audit says no when a record was changed" audit_finds_what_was_changed
a_case "a tag that moved after it was signed is rejected and recorded" moved_tag_is_rejected
a_case "approvals that were pushed before the tag count" approvals_may_come_first
a_case "one approval of two leaves the release waiting" one_approval_is_not_enough
a_case "the tagger's own approval does not count" taggers_own_does_not_count
a_case "one denial ends the release, and is recorded" one_denial_ends_it
a_case "a tag and its approvals are found by the poll alone, after a restart" poll_finds_tag_and_approvals
a_case "the log tells what each release brought, as a clone of the source does" range_is_in_the_log
a_case "no process of the server offended a sanitizer" no_sanitizer_speaks
scenario_end
