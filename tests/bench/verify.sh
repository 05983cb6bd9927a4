# Who signed a tag: what judging it costs beside OpenSSL's bare verification of the same signature, and beside git verify-tag.
# shellcheck shell=bash disable=SC2154

# A repository with a tag a key, and people whose keys they are.
verify_world() {
	local kind fingerprint
	export GNUPGHOME=$work/gnupg GIT_CONFIG_GLOBAL=$work/gitconfig
	mkdir -m 700 "$GNUPGHOME"
	mkdir "$work/people"
	{
		git init -q "$work/tags"
		git -C "$work/tags" config user.name Alice
		git -C "$work/tags" config user.email alice@example.org
		git -C "$work/tags" config gpg.ssh.allowedSignersFile "$work/allowed"
		git -C "$work/tags" commit -q --allow-empty -m one
		for kind in "${verify_ssh[@]}"; do
			# shellcheck disable=SC2086 # the kind and its size
			ssh-keygen -q -t ${kind/-/ -b } -N '' -C '' -f "$work/$kind"
			echo "alice@example.org $(cat "$work/$kind.pub")" >>"$work/allowed"
			git -C "$work/tags" -c gpg.format=ssh -c user.signingkey="$work/$kind" tag -sm Release "$kind"
		done
		for kind in "${verify_openpgp[@]}"; do
			gpg -q --batch --passphrase '' --quick-gen-key "$kind@example.org" "$kind" sign never
			fingerprint=$(gpg --list-keys --with-colons "$kind@example.org" | awk -F: '/^fpr/ { print $10; exit }')
			gpg --armor --export "$fingerprint" >"$work/people/$kind.asc"
			git -C "$work/tags" -c user.signingkey="$fingerprint" tag -sm Release "openpgp-$kind"
		done
		verify_person >"$work/people/alice.toml"
	} >"$work/verify.log" 2>&1 || {
		cat "$work/verify.log" >&2
		die "the tags cannot be made"
	}
}

verify_person() {
	local kind
	printf 'name = "Alice"\nemail = ["alice@example.org"]\nssh = ['
	for kind in "${verify_ssh[@]}"; do
		printf '"%s", ' "$(sed 's/ *$//' "$work/$kind.pub")"
	done
	printf ']\nopenpgp = ['
	printf '"%s.asc", ' "${verify_openpgp[@]}"
	printf ']\n'
}

bench_verify() {
	local kind ours bare git rounds=9 verify_ssh=(ed25519 ecdsa-256 rsa-3072) verify_openpgp=(ed25519 rsa3072 nistp256)
	verify_world
	for kind in "${verify_ssh[@]}" "${verify_openpgp[@]/#/openpgp-}"; do
		read -r ours bare git < <("$build/tests/bench/verify" $rounds "$work/people" "$work/tags" "$kind") ||
			die "judging $kind cannot be measured"
		echo "$kind: a tag takes $ours µs of CPU, OpenSSL alone $bare µs, git verify-tag $git µs (medians of $rounds rounds)"
		[ "$bare" = 0.00 ] || verdict "a tag by SSH $kind, beside OpenSSL's bare verification" "$(ratio "$ours" "$bare")" 1.30 ""
		verdict "a tag by $kind, beside 1/30 of git verify-tag" "$(awk -v a="$ours" -v b="$git" 'BEGIN { printf "%.2f", 30 * a / b }')" 1.00 ""
	done
	gpgconf --homedir "$GNUPGHOME" --kill all
}
