#!/bin/bash
# A project whose builder vouches: people approve the tag alone, and SLSA provenance says which files were built from it.
. "$(dirname "$0")/lib"
scenario_begin
builder=https://ci.example.org/builder
openssl ecparam -name prime256v1 -genkey -noout -out "$W/builder.key"

# Both maintainers sign the change.
ask_for_provenance() {
	local tree=$W/work/policy candidate
	openssl pkey -in "$W/builder.key" -pubout -out "$tree/projects/builder.pem" &&
		sed -i "/pinned_by/c pinned_by = [\"provenance\"]
			s/^\\([ \t]*\\)commits *= .*/commits = \"any\"\n[policy.provenance]\nfetch = \"http:\/\/127.0.0.1:$git_port\/artifacts\/{version}\/provenance.jsonl\"\nbuilders = [\"${builder//\//\\/}\"]\nkeys = [\"builder.pem\"]/" \
			"$tree/projects/acme-widget.toml" &&
		expect "the policy is refused" tagseal policy check "$tree" &&
		expect "it cannot be signed" as carol git -C "$tree" add -A && expect "it cannot be signed" as carol git -C "$tree" commit -q -S -m "Have the builder vouch" &&
		candidate=$(git -C "$tree" rev-parse HEAD) &&
		expect "it cannot be approved" as alice git -C "$tree" commit -q -S --allow-empty -m "Approve" -m "Tagseal-Approve-Policy: $candidate" &&
		expect "it cannot be pushed" as alice git -C "$tree" push -q origin main
}

digest() {
	sha256sum "$1" | cut -d' ' -f1
}

# What the builder says of a version: that both files came from that commit.
vouch() { # VERSION COMMIT
	local dir=$W/artifacts/$1 source=http://127.0.0.1:$git_port/widget.git type=application/vnd.in-toto+json
	printf '{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"widget-%s.exe","digest":{"sha256":"%s"}},{"name":"widget-%s.tar.gz","digest":{"sha256":"%s"}}],
		"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://ci.example.org/make","externalParameters":{"source":"git+%s"},
		"resolvedDependencies":[{"uri":"git+%s","digest":{"gitCommit":"%s"}}]},"runDetails":{"builder":{"id":"%s"}}}}' \
		"$1" "$(digest "$dir/widget-$1.exe")" "$1" "$(digest "$dir/widget-$1.tar.gz")" "$source" "$source" "$2" "$builder" >"$W/statement"
	{ printf 'DSSEv1 %d %s %d ' ${#type} $type "$(wc -c <"$W/statement")" && cat "$W/statement"; } >"$W/encoding"
	openssl dgst -sha256 -sign "$W/builder.key" -out "$W/signature" "$W/encoding" &&
		printf '{"payloadType":"%s","payload":"%s","signatures":[{"sig":"%s"}]}\n' $type "$(base64 -w0 "$W/statement")" "$(base64 -w0 "$W/signature")" \
			>"$W/provenance" && mv "$W/provenance" "$dir/provenance.jsonl"
}

head_of_dev() {
	git -C "$W/work/dev" rev-parse HEAD
}

# The approvers name no digests.
approve_the_tag() {
	as alice sh -c "cd '$W/work/alice' && git tagseal approve '$1'" && as bob sh -c "cd '$W/work/bob' && git tagseal approve '$1'"
}

waits_and_is_signed() {
	sandbox_build 3.0.0
	expect "the tag cannot be pushed" sandbox_tag v3.0.0 && expect "the approvals cannot be pushed" approve_the_tag v3.0.0 &&
		expect_gate v3.0.0 fetch 'waiting' && expect "the builder cannot sign" vouch 3.0.0 "$(head_of_dev)" && expect_published v3.0.0
}

record_says_so() {
	record_text "$(release_id v3.0.0)" >"$W/record" &&
		expect "not by whom" grep -q '"pinned_by":"provenance"' "$W/record" && expect "not which builder" grep -q "\"builder\":\"$builder\"" "$W/record"
}

audit_decides_again() {
	expect "it cannot be cloned" audit_clone "$W/audit" && expect "the audit is not good" audit "$W/audit" &&
		expect "no provenance in the log" [ "$(find "$W/audit/evidence" -name provenance | wc -l)" = 1 ]
}

another_commit() {
	sandbox_build 3.0.1
	expect "the builder cannot sign" vouch 3.0.1 1111111111111111111111111111111111111111 && expect "the tag cannot be pushed" sandbox_tag v3.0.1 &&
		expect "the approvals cannot be pushed" approve_the_tag v3.0.1 && expect_refused v3.0.1 rejected fetch 'is the source at commit 1111'
}

other_files() {
	sandbox_build 3.0.2
	expect "the builder cannot sign" vouch 3.0.2 "$(head_of_dev)" && echo more >>"$W/artifacts/3.0.2/widget-3.0.2.tar.gz" &&
		expect "the tag cannot be pushed" sandbox_tag v3.0.2 && expect "the approvals cannot be pushed" approve_the_tag v3.0.2 &&
		expect_refused v3.0.2 rejected fetch 'has another digest than this file'
}

audit_takes_refusals_too() {
	expect "it cannot be cloned" audit_clone "$W/audit" && expect "the audit is not good" audit "$W/audit"
}

a_case "a project may ask for provenance" ask_for_provenance
a_case "a release waits for its provenance, and is signed by it" waits_and_is_signed
a_case "the record says who vouched" record_says_so
a_case "an auditor decides by it again" audit_decides_again
a_case "provenance of another commit is refused" another_commit
a_case "files that provenance does not name are refused" other_files
a_case "an auditor finds refused provenance in order" audit_takes_refusals_too
a_case "no sanitizer has a word to say" no_sanitizer_speaks
scenario_end
