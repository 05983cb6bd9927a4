# A whole closed world in one folder, on loopback: people with their own git set-up, a git host (nginx and git's own
# http-backend), certificate authorities, a SoftHSM token with non-exportable keys, a policy, a timestamp authority and
# tagseald itself. Sourced by contrib/demo, by the scenarios of tests/ and by tests/bench/run; real components all of them.
#
#   BUILD_DIR=… . contrib/sandbox.sh
#   sandbox_new DIR            everything up to the running server; sandbox_stop ends it all
# shellcheck shell=bash disable=SC2034

set -u
sandbox_source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
sandbox_pids=()

say_and_die() {
	echo "$*" >&2
	exit 1
}

# A port that nobody listens on, below those that the kernel gives to outgoing connections.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# Waits up to N seconds for a command to succeed.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -le "$end" ] || return 1
		sleep 0.1
	done
}

# Runs a command as one of the people: their own git configuration, their own key, nothing of yours.
as() {
	local person=$1
	shift
	env -u GIT_DIR -u GIT_WORK_TREE HOME="$W/people/$person" GIT_CONFIG_GLOBAL="$W/people/$person/.gitconfig" \
		GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 PATH="$BUILD_DIR:$PATH" "$@"
}

sandbox_person() {
	local name=$1 home=$W/people/$1
	mkdir -p "$home"
	ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$home/key"
	cat >"$home/.gitconfig" <<-EOF
		[user]
			name = ${name^}
			email = $name@example.org
			signingkey = $home/key.pub
		[gpg]
			format = ssh
		[init]
			defaultBranch = main
		[tagseal]
			project = acme/widget
			policy = release
			url = http://127.0.0.1:$http_port
		[advice]
			detachedHead = false
	EOF
}

# nginx before git's own http-backend, which also serves the build's artifacts.
sandbox_git_host() {
	mkdir -p "$W/git" "$W/artifacts" "$W/nginx"
	cat >"$W/nginx/nginx.conf" <<-EOF
		$([ "$(id -u)" != 0 ] || echo "user root;")
		pid $W/nginx/pid;
		error_log $W/nginx/error.log;
		worker_processes 1;
		daemon off;
		events {}
		http {
			access_log off;
			client_body_temp_path $W/nginx/body;
			fastcgi_temp_path $W/nginx/fastcgi;
			proxy_temp_path $W/nginx/proxy;
			uwsgi_temp_path $W/nginx/uwsgi;
			scgi_temp_path $W/nginx/scgi;
			server {
				listen 127.0.0.1:$git_port;
				client_max_body_size 64m;
				location /artifacts/ { root $W; }
				location / {
					fastcgi_pass unix:$W/nginx/cgi.sock;
					fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
					fastcgi_param GIT_PROJECT_ROOT $W/git;
					fastcgi_param GIT_HTTP_EXPORT_ALL 1;
					fastcgi_param GIT_CONFIG_GLOBAL /dev/null;
					fastcgi_param HOME $W/nginx;
					fastcgi_param PATH_INFO \$uri;
					fastcgi_param QUERY_STRING \$query_string;
					fastcgi_param REQUEST_METHOD \$request_method;
					fastcgi_param CONTENT_TYPE \$content_type;
					fastcgi_param CONTENT_LENGTH \$content_length;
					fastcgi_param HTTP_CONTENT_ENCODING \$http_content_encoding;
					fastcgi_param GIT_PROTOCOL \$http_git_protocol;
				}
			}
		}
	EOF
	# In a group of its own: when it ends, its children do not.
	setsid fcgiwrap -c 4 -s "unix:$W/nginx/cgi.sock" >>"$W/nginx/cgi.log" 2>&1 &
	sandbox_pids+=($!)
	sandbox_nginx
}

sandbox_nginx() {
	nginx -p "$W/nginx" -c "$W/nginx/nginx.conf" >>"$W/nginx/error.log" 2>&1 &
	sandbox_nginx_pid=$!
	sandbox_pids+=("$sandbox_nginx_pid")
	wait_for 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$git_port" || say_and_die "the git host does not start: $W/nginx/error.log"
}

sandbox_bare() {
	git init -q --bare -b main "$W/git/$1"
	git -C "$W/git/$1" config http.receivepack true
}

# Two authorities that know nothing of each other: one for code signing, one for timestamps.
sandbox_authorities() {
	mkdir -p "$W/pki"
	(
		cd "$W/pki" || exit 1
		for ca in code stamp; do
			openssl req -x509 -newkey rsa:3072 -nodes -keyout $ca-ca.key -out $ca-ca.pem -days 3650 \
				-subj "/O=Acme Demo/CN=Acme $ca root" -addext "basicConstraints=critical,CA:TRUE" \
				-addext "keyUsage=critical,keyCertSign,cRLSign"
		done
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout stamp.key -out stamp.csr -subj "/O=Acme Demo/CN=Acme timestamp authority"
		printf 'extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n' >stamp.ext
		openssl x509 -req -in stamp.csr -CA stamp-ca.pem -CAkey stamp-ca.key -CAcreateserial -days 1825 -extfile stamp.ext -out stamp.pem
		printf 'extendedKeyUsage=critical,codeSigning\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n' >code.ext
	) >"$W/pki/log" 2>&1 || say_and_die "the demo authorities cannot be made: $W/pki/log"
}

sandbox_timestamp_authority() {
	"$BUILD_DIR/dev-tsa" --port "$tsa_port" --certificate "$W/pki/stamp.pem" --key "$W/pki/stamp.key" --chain "$W/pki/stamp-ca.pem" \
		>>"$W/tsa.log" 2>&1 &
	sandbox_tsa_pid=$!
	sandbox_pids+=("$sandbox_tsa_pid")
	wait_for 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$tsa_port" || say_and_die "the timestamp authority does not start: $W/tsa.log"
}

# `tagseald init`, then a release key that never leaves the token, its certificate from the demo authority, its OpenPGP certificate.
sandbox_token() {
	local key=(--module /usr/lib/softhsm/libsofthsm2.so --token tagseal --pin-file "$W/server/secrets/pin" --label release-2026)
	mkdir -p "$W/tokens"
	printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$W/tokens" >"$W/softhsm2.conf"
	export SOFTHSM2_CONF=$W/softhsm2.conf
	{
		"$BUILD_DIR/tagseald" init --folder "$W/server" --listen "127.0.0.1:$http_port" --policy-url "http://127.0.0.1:$git_port/policy.git" \
			--maintainer "carol:$W/people/carol/key.pub" --maintainer "alice:$W/people/alice/key.pub" &&
			"$BUILD_DIR/tagseald" key generate "${key[@]}" --kind "$sandbox_key_kind" &&
			"$BUILD_DIR/tagseald" key csr "${key[@]}" --subject "CN=Acme Widget,O=Acme Demo" --output "$W/pki/code.csr" &&
			openssl x509 -req -in "$W/pki/code.csr" -CA "$W/pki/code-ca.pem" -CAkey "$W/pki/code-ca.key" -CAcreateserial -days 400 \
				-extfile "$W/pki/code.ext" -out "$W/pki/code.pem" &&
			"$BUILD_DIR/tagseald" key openpgp-export "${key[@]}" --user-id "Acme Widget <release@example.org>" \
				--created "$(date -u +%Y-%m-%dT00:00:00Z)" --output "$W/pki/code.asc"
	} >"$W/token.log" 2>&1 || say_and_die "the token cannot be set up: $W/token.log"
}

# The policy's first change: people, a project and the key, signed by carol and approved by alice (the threshold is two).
sandbox_policy() {
	local tree=$W/work/policy candidate
	mv "$W/server/policy.git" "$W/git/policy.git"
	git -C "$W/git/policy.git" config http.receivepack true
	{
		as carol git clone -q "http://127.0.0.1:$git_port/policy.git" "$tree" &&
			mkdir -p "$tree/projects" "$tree/keys" &&
			cp "$W/pki/code.asc" "$tree/keys/release-2026.asc" &&
			cat "$W/pki/code.pem" "$W/pki/code-ca.pem" >"$tree/keys/release-2026.pem"
	} >"$W/policy.log" 2>&1 || say_and_die "the policy cannot be cloned: $W/policy.log"
	cat >"$tree/keys/release-2026.toml" <<-EOF
		label   = "release-2026"
		purpose = "release"
		chain   = "release-2026.pem"
		openpgp = "release-2026.asc"
		require = { quorum = 2, timestamp = true, scan = true }
		modules = ["SoftHSM*"]
	EOF
	for person in dev alice bob; do
		cat >"$tree/people/$person.toml" <<-EOF
			name   = "${person^}"
			email  = ["$person@example.org"]
			groups = ["developers"$([ $person != dev ] || echo ', "release-managers"')]
			ssh    = ["$(cat "$W/people/$person/key.pub")"]
		EOF
	done
	cat >"$tree/projects/acme-widget.toml" <<-EOF
		name   = "acme/widget"
		source = "http://127.0.0.1:$git_port/widget.git"

		[[policy]]
		name      = "release"
		tags      = ["v[0-9]*"]
		branches  = ["main"]
		taggers   = ["@release-managers"]
		quorum    = [{ of = ["@developers"], count = 2 }]
		key       = "release-2026"
		purpose   = "release"
		pinned_by = ["approval"]
		commits   = "any"

		[[policy.artifact]]
		name  = "widget-{version}.exe"
		fetch = "http://127.0.0.1:$git_port/artifacts/{version}/widget-{version}.exe"
		type  = "pe"
		sign  = "authenticode"

		[[policy.artifact]]
		name  = "widget-{version}.tar.gz"
		fetch = "http://127.0.0.1:$git_port/artifacts/{version}/widget-{version}.tar.gz"
		type  = "raw"
		sign  = ["openpgp", "cms"]
	EOF
	{
		"$BUILD_DIR/tagseal" policy check "$tree" &&
			as carol git -C "$tree" add -A &&
			as carol git -C "$tree" commit -q -S -m "Let developers release acme/widget" &&
			candidate=$(git -C "$tree" rev-parse HEAD) &&
			as alice git -C "$tree" commit -q -S --allow-empty -m "Approve the first policy" -m "Tagseal-Approve-Policy: $candidate" &&
			as alice git -C "$tree" push -q origin main
	} >>"$W/policy.log" 2>&1 || say_and_die "the policy cannot be changed: $W/policy.log"
}

sandbox_config() {
	sandbox_bare audit.git
	mkdir -p "$W/clamav" "$W/published"
	# A signature of the EICAR test file; a real server has freshclam's databases here.
	printf 'Eicar-Test:0:*:%s\n' 58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e444152442d414e544956495255532d544553542d46494c452124482b482a \
		>"$W/clamav/eicar.ndb"
	cat >>"$W/server/config.toml" <<-EOF
		[git]
		allow_private = true
		allow_http = true
		poll = "$sandbox_poll"

		[artifacts]
		private_hosts = ["127.0.0.1"]
		http_hosts = ["127.0.0.1"]
		folders = ["$W/artifacts"]

		[scan]
		database = "$W/clamav"
		min_signatures = 1
		max_database_age = "0s"

		[[timestamp]]
		url = "http://127.0.0.1:$tsa_port/"
		roots = "$W/pki/stamp-ca.pem"

		[[audit_remote]]
		url = "file://$W/git/audit.git"
		required = true

		[publish]
		folder = "$W/published"
	EOF
}

sandbox_start() {
	"$BUILD_DIR/tagseald" --config "$W/server/config.toml" >>"$W/server.log" 2>&1 &
	sandbox_server_pid=$!
	sandbox_pids+=("$sandbox_server_pid")
	wait_for 30 sh -c "curl -sf http://127.0.0.1:$http_port/healthz | grep -q '\"ok\"'" || say_and_die "tagseald does not start: $W/server.log"
}

# The source repository, with the hook that tells tagseald of pushes.
sandbox_source_repository() {
	local bare=$W/git/widget.git
	sandbox_bare widget.git
	cp "$sandbox_source/hooks/post-receive" "$bare/hooks/post-receive"
	chmod +x "$bare/hooks/post-receive"
	git -C "$bare" config tagseal.url "http://127.0.0.1:$http_port"
	git -C "$bare" config tagseal.secretFile "$W/server/secrets/hook-standard"
	git -C "$bare" config tagseal.project "acme/widget"
	{
		as dev git clone -q "http://127.0.0.1:$git_port/widget.git" "$W/work/dev" &&
			echo 'int main(void) { return 0; }' >"$W/work/dev/widget.c" &&
			as dev git -C "$W/work/dev" add -A && as dev git -C "$W/work/dev" commit -q -S -m "Begin the widget" &&
			as dev git -C "$W/work/dev" push -q origin main
	} >>"$W/source.log" 2>&1 || say_and_die "the source repository cannot be made: $W/source.log"
	for person in alice bob; do
		as $person git clone -q "http://127.0.0.1:$git_port/widget.git" "$W/work/$person" || return 1
	done
}

# What the build made of a version: a PE program and a source archive.
sandbox_build() {
	local version=$1 dir=$W/artifacts/$1
	mkdir -p "$dir"
	cp "${sandbox_pe:-/usr/lib/systemd/boot/efi/systemd-bootx64.efi}" "$dir/widget-$version.exe"
	tar -C "$W/work/dev" --transform "s,^,widget-$version/," -czf "$dir/widget-$version.tar.gz" widget.c
}

sandbox_tag() {
	as dev git -C "$W/work/dev" tag -s "$1" -m "Widget $1" && as dev git -C "$W/work/dev" push -q origin "$1"
}

sandbox_approve() {
	local person=$1 tag=$2 version=${2#v}
	as "$person" sh -c "cd '$W/work/$person' && git tagseal approve '$tag' \
		--artifact '$W/artifacts/$version/widget-$version.exe' --artifact '$W/artifacts/$version/widget-$version.tar.gz'"
}

# The newest release of a tag as JSON, or as plain lines.
release_text() {
	curl -sf -H 'Accept: text/plain' "http://127.0.0.1:$http_port/api/v1/releases?tag=$1"
}

release_is() { # TAG WORD: does its first line end with the outcome, or a gate's line say so?
	release_text "$1" | grep -q -- "$2"
}

sandbox_new() {
	W=$1
	: "${BUILD_DIR:?}" "${sandbox_key_kind:=rsa3072}" "${sandbox_poll:=5m}"
	git_port=$(free_port) http_port=$(free_port) tsa_port=$(free_port)
	mkdir -p "$W/work" "$W/people"
	for person in dev alice bob carol mallory; do
		sandbox_person $person
	done
	sandbox_authorities
	sandbox_git_host
	sandbox_token
	sandbox_policy
	sandbox_config
	sandbox_timestamp_authority
	sandbox_start
	sandbox_source_repository
}

sandbox_stop() {
	local pid
	for pid in "${sandbox_pids[@]}"; do
		kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null
	done
	for pid in "${sandbox_pids[@]}"; do
		wait "$pid" 2>/dev/null
	done
	sandbox_pids=()
}
