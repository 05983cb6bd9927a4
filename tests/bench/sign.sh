# The two figures of `tagseal sign`: its CPU time beside osslsigncode's, and its memory with a large file.
# shellcheck shell=bash

module=/usr/lib/softhsm/libsofthsm2.so

# A token with one key a kind, each with a certificate of the same authority. Made once.
sign_world() {
	local kind key
	[ ! -e "$work/token" ] || return 0
	mkdir -p "$work/token"
	printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/token" >"$work/softhsm2.conf"
	export SOFTHSM2_CONF=$work/softhsm2.conf
	(umask 077 && echo 648219 >"$work/pin")
	{
		softhsm2-util --init-token --free --label bench --pin 648219 --so-pin 648219
		openssl req -x509 -newkey rsa:3072 -nodes -keyout "$work/ca.key" -out "$work/ca.pem" -days 30 \
			-subj "/O=Acme Bench/CN=Acme root" -addext "basicConstraints=critical,CA:TRUE" \
			-addext "keyUsage=critical,keyCertSign,cRLSign"
		printf 'extendedKeyUsage=critical,codeSigning\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n' \
			>"$work/leaf.ext"
		for kind in rsa3072 p256; do
			key=(--module "$module" --token bench --pin-file "$work/pin" --label "$kind")
			"$build/tagseald" key generate "${key[@]}" --kind "$kind"
			"$build/tagseald" key csr "${key[@]}" --subject "CN=Acme $kind,O=Acme Bench" --output "$work/$kind.csr"
			openssl x509 -req -in "$work/$kind.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 20 \
				-extfile "$work/leaf.ext" -out "$work/$kind.pem"
			cat "$work/$kind.pem" "$work/ca.pem" >"$work/$kind-chain.pem"
		done
	} >"$work/token.log" 2>&1 || {
		cat "$work/token.log" >&2
		die "the token cannot be made"
	}
}

# A PE program of about 100 KB.
sign_program() {
	printf '%s\n' 'static const volatile char bulk[88 * 1024] = { 1 };' 'int main(void) { return bulk[1]; }' >"$work/program.c"
	x86_64-w64-mingw32-gcc -s -O2 -o "$work/program.exe" "$work/program.c" || die "mingw-w64 cannot make a PE program"
}

ours() { # KIND OUTPUT FILE [OPTION…]
	local kind=$1 output=$2 file=$3
	shift 3
	command=("$build/tagseal" sign --module "$module" --token bench --pin-file "$work/pin" --key "$kind"
		--certificate "$work/$kind-chain.pem" "$@" --output "$output" "$file")
}

# Whom to beat: the osslsigncode of this Debian release, and a newer one if that is what is installed.
sign_peers() {
	local installed suite
	installed=$(dpkg-query -W -f '${Version}' osslsigncode)
	peers=("osslsigncode ${installed%%[-~]*}=osslsigncode")
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
	mkdir -p "$work/peer"
	if (cd "$work/peer" && apt-get download "osslsigncode/$suite" && dpkg -x osslsigncode_*.deb .) >"$work/peer.log" 2>&1; then
		local own
		own=$(dpkg-deb -f "$work"/peer/osslsigncode_*.deb Version)
		[ "$own" = "$installed" ] || peers=("osslsigncode ${own%%[-~]*}=$work/peer/usr/bin/osslsigncode" "${peers[@]}")
	fi
}

sign_kind() { # KIND ROUNDS NAME PROGRAM
	local kind=$1 rounds=$2 name=$3 program=$4 command ours_cpu peer_cpu ours_wall peer_wall rest
	ours "$kind" "$work/ours.exe" "$work/program.exe"
	{
		read -r ours_cpu ours_wall rest
		read -r peer_cpu peer_wall rest
	} < <("$build/tests/bench/race" "$rounds" "$work/ours.exe" "${command[@]}" \
		::: "$work/peer.exe" "$program" sign -pkcs11module "$module" -certs "$work/$kind.pem" -ac "$work/ca.pem" \
		-key "pkcs11:token=bench;object=$kind;type=private;pin-value=648219" -h sha256 \
		-in "$work/program.exe" -out "$work/peer.exe") || die "the signing of a program cannot be measured"
	osslsigncode verify -CAfile "$work/ca.pem" -in "$work/ours.exe" >"$work/verify.log" 2>&1 ||
		die "osslsigncode does not verify what tagseal signed: $(tail -n 1 "$work/verify.log")"
	echo "$kind: tagseal $(milliseconds "$ours_cpu") CPU, $(milliseconds "$ours_wall") wall;" \
		"$name $(milliseconds "$peer_cpu") CPU, $(milliseconds "$peer_wall") wall (medians of $rounds rounds)"
	verdict "CPU of signing a $(($(stat -c %s "$work/program.exe") / 1024)) KB PE, $kind, beside $name" \
		"$(ratio "$ours_cpu" "$peer_cpu")" 0.80 ""
}

bench_sign() {
	local peers peer
	sign_world
	sign_program
	sign_peers
	for peer in "${peers[@]}"; do
		sign_kind rsa3072 101 "${peer%%=*}" "${peer#*=}"
		sign_kind p256 51 "${peer%%=*}" "${peer#*=}"
	done
}

bench_memory() {
	local command cpu wall memory
	sign_world
	truncate -s 2G "$work/large"
	ours rsa3072 "$work/large.p7s" "$work/large" --format cms
	read -r cpu wall memory < <("$build/tests/bench/race" 1 "$work/large.p7s" "${command[@]}") ||
		die "the signing of a large file cannot be measured"
	openssl cms -verify -binary -inform DER -in "$work/large.p7s" -content "$work/large" -CAfile "$work/ca.pem" \
		-purpose any -out /dev/null 2>"$work/verify.log" || die "openssl does not verify the large file: $(cat "$work/verify.log")"
	echo "2 GiB as CMS: $(milliseconds "$cpu") CPU, $(milliseconds "$wall") wall, at most $((memory / 1024)) MiB resident"
	verdict "memory while a 2 GiB file is hashed and CMS-signed" "$(ratio "$memory" 1024)" 64 " MiB"
}
