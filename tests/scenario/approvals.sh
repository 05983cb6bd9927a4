#!/bin/bash
# What becomes of a release that people approve, take back, deny or forget, and of a tag that moves: each end with its reason in the record.
. "$(dirname "$0")/lib"
scenario_begin

withdraw() { # PERSON TAG
	as "$1" sh -c "cd '$W/work/$1' && git tagseal withdraw '$2' --reason 'Not yet'"
}

# Changes the project's file by a sed script and brings that into force.
change_project() { # SCRIPT
	local tree=$W/work/policy candidate
	as carol git -C "$tree" pull -q origin main && sed -i "$1" "$tree/projects/acme-widget.toml" && tagseal policy check "$tree" &&
		as carol git -C "$tree" commit -q -S -a -m "Change the project" && candidate=$(git -C "$tree" rev-parse HEAD) &&
		as alice git -C "$tree" commit -q -S --allow-empty -m "Approve that" -m "Tagseal-Approve-Policy: $candidate" &&
		as alice git -C "$tree" push -q origin main
}

withdrawn_approval() {
	sandbox_build 1.0.0
	expect "it cannot be pushed" sandbox_tag v1.0.0 && expect "it cannot be approved" sandbox_approve alice v1.0.0 &&
		expect "it cannot be withdrawn" withdraw alice v1.0.0 && expect "it cannot be approved" sandbox_approve bob v1.0.0 &&
		expect_gate v1.0.0 approval 'waiting .*1 of 2 approvals of @developers; waiting for 1 more'
}

approved_again() {
	expect "it cannot be approved" sandbox_approve alice v1.0.0 && expect_published v1.0.0 && expect_recorded v1.0.0 signed &&
		expect "the record lacks why one does not count" sh -c "printf '%s' '$(record_text "$(release_id v1.0.0)")' | grep -q 'alice withdrew it'"
}

denied_with_a_reason() {
	sandbox_build 1.1.0
	expect "it cannot be pushed" sandbox_tag v1.1.0 && expect "it cannot be approved" sandbox_approve alice v1.1.0 &&
		expect "it cannot be denied" as bob sh -c "cd '$W/work/bob' && git tagseal deny v1.1.0 --reason 'the parser leaks'" &&
		expect_refused v1.1.0 denied approval 'denied by bob: the parser leaks'
}

# Whoever may push rewinds the ref; the denial has been seen.
denial_cannot_be_undone() {
	local bare=$W/git/widget.git
	git -C "$bare" update-ref refs/heads/tagseal/approvals "refs/heads/tagseal/approvals~1"
	expect "it cannot be approved" sandbox_approve bob v1.1.0 && has_outcome v1.1.0 denied && expect_recorded v1.1.0 denied 'the parser leaks'
}

first_is_recorded_as_moved() {
	record_text "$first" | grep -q '"outcome":"rejected"' && record_text "$first" | grep -q 'the tag v1.2.0 was moved'
}

moved_before_it_was_signed() {
	sandbox_build 1.2.0
	expect "it cannot be pushed" sandbox_tag v1.2.0 && expect "it cannot be approved" sandbox_approve alice v1.2.0 &&
		expect_gate v1.2.0 approval 'waiting .*1 of 2' && first=$(release_id v1.2.0) &&
		expect "it cannot be moved" as dev git -C "$W/work/dev" tag -f -s v1.2.0 -m "Once more" &&
		expect "it cannot be pushed" as dev git -C "$W/work/dev" push -q -f origin v1.2.0 && expect_gate v1.2.0 approval 'waiting .*0 of 2' &&
		expect "it is no request of its own" [ "$first" != "$(release_id v1.2.0)" ] &&
		expect "the first record does not say so" wait_for "$PATIENCE" first_is_recorded_as_moved
}

moved_after_it_was_signed() {
	expect "it cannot be moved" as dev git -C "$W/work/dev" tag -f -s v1.0.0 -m "Other bytes" &&
		expect "it cannot be pushed" as dev git -C "$W/work/dev" push -q -f origin v1.0.0 &&
		expect_refused v1.0.0 rejected source 'moved_tags'
}

deleted() {
	sandbox_build 1.3.0
	expect "it cannot be pushed" sandbox_tag v1.3.0 && expect_gate v1.3.0 approval waiting &&
		expect "it cannot be deleted" as dev git -C "$W/work/dev" push -q origin :refs/tags/v1.3.0 &&
		expect_refused v1.3.0 denied source 'the tag was deleted at the source'
}

approvals_repository() {
	local bare=$W/git/approvals.git person
	sandbox_bare approvals.git
	cp "$W/git/widget.git/hooks/post-receive" "$bare/hooks/post-receive"
	cp "$W/git/widget.git/config" "$bare/config"
	git -C "$bare" config tagseal.project "http://127.0.0.1:$git_port/approvals.git"
	sandbox_build 1.4.0
	for person in alice bob; do
		as $person git -C "$W/work/$person" remote add approvals "http://127.0.0.1:$git_port/approvals.git"
		as $person git -C "$W/work/$person" config tagseal.approvals approvals
	done
	expect "the policy cannot be changed" change_project "s|^source = .*|&\napprovals = { url = \"http://127.0.0.1:$git_port/approvals.git\" }|" &&
		expect "it cannot be pushed" sandbox_tag v1.4.0 && expect_gate v1.4.0 approval 'waiting .*0 of 2' &&
		expect "it cannot be approved" sandbox_approve alice v1.4.0 && expect_gate v1.4.0 approval 'waiting .*1 of 2' &&
		expect "it cannot be approved" sandbox_approve bob v1.4.0 && expect_published v1.4.0
}

forgotten() {
	sandbox_build 1.5.0
	expect "the policy cannot be changed" change_project 's|^quorum .*|&\napprove_within = "3s"|' &&
		expect "it cannot be pushed" sandbox_tag v1.5.0 &&
		expect_refused v1.5.0 expired approval '0 of 2 approvals of @developers when the time for approvals ended'
}

audit_is_good() {
	expect "it cannot be cloned" audit_clone "$W/audit" && expect "it is not" audit "$W/audit"
}

a_case "an approval that is taken back does not count" withdrawn_approval
a_case "its maker may approve again, and the record says which one counts" approved_again
a_case "a denial ends the release with its reason" denied_with_a_reason
a_case "a denial stands after its ref was rewound" denial_cannot_be_undone
a_case "a tag that moves while it waits is a request of its own" moved_before_it_was_signed
a_case "a tag that moves after it was signed is rejected" moved_after_it_was_signed
a_case "a tag that is deleted while it waits is denied" deleted
a_case "approvals in a repository of their own are found by its webhook" approvals_repository
a_case "a release that nobody approves in time expires" forgotten
a_case "tagseal audit says good of what was recorded" audit_is_good
a_case "no process of the server offended a sanitizer" no_sanitizer_speaks
scenario_end
