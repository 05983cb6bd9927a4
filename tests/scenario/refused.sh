#!/bin/bash
# What must not pass: tags, artifacts, webhooks and a policy that are not as they should be; each with its reason, and recorded where it is a release.
. "$(dirname "$0")/lib"
scenario_begin
eicar='X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'

unsigned_tag() {
	expect "it cannot be pushed" sh -c "git -C '$W/work/dev' -c user.name=Dev -c user.email=dev@example.org tag -a -m Unsigned v2.0.0" &&
		expect "it cannot be pushed" push_tag v2.0.0 && expect_refused v2.0.0 rejected source 'sign'
}

lightweight_tag() {
	expect "it cannot be pushed" as dev git -C "$W/work/dev" tag v2.0.1 && expect "it cannot be pushed" push_tag v2.0.1 &&
		expect_refused v2.0.1 rejected source 'tag'
}

strangers_tag() {
	as mallory git clone -q "$W/git/widget.git" "$W/work/mallory" 2>/dev/null
	expect "it cannot be pushed" as mallory git -C "$W/work/mallory" tag -s v2.0.2 -m "Mine" &&
		expect "it cannot be pushed" as mallory git -C "$W/work/mallory" push -q origin v2.0.2 &&
		expect_refused v2.0.2 rejected source .
}

# A person of the project who may not ask: alice is no release manager.
approvers_tag() {
	expect "it cannot be pushed" as alice git -C "$W/work/alice" tag -s v2.0.3 -m "Mine" &&
		expect "it cannot be pushed" as alice git -C "$W/work/alice" push -q origin v2.0.3 && expect_refused v2.0.3 rejected source .
}

deleted_tag() {
	sandbox_build 2.0.4
	expect "it cannot be pushed" sandbox_tag v2.0.4 && expect "it cannot be approved" sandbox_approve alice v2.0.4 &&
		expect_gate v2.0.4 approval 'waiting .*1 of 2' &&
		expect "it cannot be deleted" as dev git -C "$W/work/dev" push -q origin :refs/tags/v2.0.4 && expect_refused v2.0.4 denied source 'deleted'
}

no_release_outside_of_the_rules() {
	expect "it cannot be pushed" as dev git -C "$W/work/dev" tag -s nightly -m "None of tagseal's business" &&
		expect "it cannot be pushed" push_tag nightly && sleep 1 && expect "there is a release" [ -z "$(release_text nightly)" ]
}

# Approved by both, with digests as they are at that moment.
approved_so() { # TAG
	expect "it cannot be prepared" make_tag "$1" && expect "it cannot be approved" approve_before alice "$1" &&
		expect "it cannot be approved" approve_before bob "$1"
}

other_bytes() {
	sandbox_build 2.1.0
	approved_so v2.1.0 || return
	echo "a line more" >>"$W/artifacts/2.1.0/widget-2.1.0.exe"
	expect "it cannot be pushed" push_tag v2.1.0 && expect_refused v2.1.0 rejected fetch 'digest'
}

truncated_program() {
	sandbox_build 2.1.1
	truncate -s 20000 "$W/artifacts/2.1.1/widget-2.1.1.exe"
	approved_so v2.1.1 && expect "it cannot be pushed" push_tag v2.1.1 && expect_refused v2.1.1 rejected structure 'widget-2.1.1.exe'
}

virus_in_the_archive() {
	sandbox_build 2.1.2
	printf '%s' "$eicar" >"$W/work/eicar.txt"
	tar -C "$W/work" -czf "$W/artifacts/2.1.2/widget-2.1.2.tar.gz" eicar.txt
	approved_so v2.1.2 && expect "it cannot be pushed" push_tag v2.1.2 && expect_refused v2.1.2 rejected scan '[Ee]icar' &&
		expect "something was published" [ ! -e "$W/published/acme/widget/v2.1.2" ]
}

nothing_was_signed() {
	expect "the key was used" [ "$(cat "$W"/server/state/journal/*release-2026* 2>/dev/null | grep -c '"use"\|sha256')" = 0 ] &&
		expect "something is published" [ -z "$(find "$W/published" -type f)" ]
}

answers() { # STATUS PATTERN, of what deliver printed
	expect "the answer is $(tail -n 1 "$W/answer"), not $1" [ "$(tail -n 1 "$W/answer")" = "$1" ] &&
		expect "the answer lacks \"$2\": $(cat "$W/answer")" grep -qE -- "$2" "$W/answer"
}

wrong_signature() {
	deliver msg_wrong "$(push_body refs/tags/v3.0.0 1111111111111111111111111111111111111111)" "v1,$(printf '%032d' 0 | openssl base64)" >"$W/answer" 2>&1
	answers 401 'signature' && expect "there is a release" [ -z "$(release_text v3.0.0)" ]
}

broken_json() {
	deliver msg_broken '{"type":"push","data":{' >"$W/answer" 2>&1
	answers 400 'problem|detail|JSON'
}

large_body() {
	head -c 30000000 /dev/zero | curl -sS --max-time 30 -H 'Content-Type: application/json' -H 'webhook-id: msg_large' -H "webhook-timestamp: $(date +%s)" \
		-H 'webhook-signature: v1,AAAA' --data-binary @- -w '\n%{http_code}\n' "http://127.0.0.1:$http_port/hooks/standard" >"$W/answer" 2>&1
	answers 413 .
}

replayed_delivery() {
	local first second id body
	mv "$W/git/widget.git/hooks/post-receive" "$W/post-receive"
	sandbox_build 3.1.0
	sandbox_tag v3.1.0 >"$W/output" 2>&1
	mv "$W/post-receive" "$W/git/widget.git/hooks/post-receive"
	id=$(git -C "$W/git/widget.git" rev-parse refs/tags/v3.1.0)
	body=$(push_body refs/tags/v3.1.0 "$id")
	first=$(deliver msg_replay "$body")
	second=$(deliver msg_replay "$body")
	expect "the first is not accepted: $first" [ "$(echo "$first" | tail -n 1)" = 202 ] &&
		expect "the second answer is another: $second" [ "$first" = "$second" ] && expect_gate v3.1.0 approval waiting &&
		expect "there are two releases" [ "$(release_text v3.1.0 | grep -c '^release ')" = 1 ]
}

wrong_policy() {
	local tree=$W/work/policy before candidate
	before=$(curl -s "http://127.0.0.1:$http_port/healthz" | grep -o '"policy":"[0-9a-f]*"')
	as carol git -C "$tree" pull -q origin main
	sed -i 's/^taggers /tagers /' "$tree/projects/acme-widget.toml"
	as carol git -C "$tree" commit -q -S -a -m "Let nobody tag" && candidate=$(git -C "$tree" rev-parse HEAD) &&
		as alice git -C "$tree" commit -q -S --allow-empty -m "Approve that" -m "Tagseal-Approve-Policy: $candidate" &&
		expect "it cannot be pushed" as alice git -C "$tree" push -q origin main &&
		expect "it cannot be pushed" sandbox_tag v3.2.0 && expect_log 'acme-widget\.toml:[0-9]+:[0-9]+.*tagers' &&
		expect_gate v3.2.0 approval waiting &&
		expect "another policy is in force" [ "$before" = "$(curl -s "http://127.0.0.1:$http_port/healthz" | grep -o '"policy":"[0-9a-f]*"')" ]
}

audit_is_good() {
	expect "it cannot be cloned" audit_clone "$W/audit" && expect "it is not" audit "$W/audit"
}

a_case "an unsigned tag is rejected and recorded" unsigned_tag
a_case "a lightweight tag is rejected and recorded" lightweight_tag
a_case "a stranger's tag is rejected and recorded" strangers_tag
a_case "the tag of someone who may not ask is rejected and recorded" approvers_tag
a_case "a tag that no rule matches makes no release" no_release_outside_of_the_rules
a_case "a tag that is deleted while it waits is denied and recorded" deleted_tag
a_case "an artifact with another digest than the approved is rejected and recorded" other_bytes
a_case "a truncated program is rejected and recorded" truncated_program
a_case "a virus inside an archive is found, rejected and recorded" virus_in_the_archive
a_case "nothing of all this was signed" nothing_was_signed
a_case "a webhook with a wrong signature is answered with 401" wrong_signature
a_case "a webhook that is no JSON is answered with 400" broken_json
a_case "a webhook of 30 MB is answered with 413" large_body
a_case "a replayed delivery is answered as before and starts nothing" replayed_delivery
a_case "a policy with a mistake is named with file, line and column, and the last good one stays in force" wrong_policy
a_case "tagseal audit says good of what was recorded" audit_is_good
a_case "no process of the server offended a sanitizer" no_sanitizer_speaks
scenario_end
