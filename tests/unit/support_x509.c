#include "tests/unit/support_x509.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/people.h"

/*
 * key NAME KIND                      NAME.key: rsa2048, P-256, brainpoolP256r1, ed25519, …
 * issue NAME ISSUER SUBJECT EXT …    NAME.pem for NAME.key, by ISSUER (itself: self-signed); EXT is a section of openssl's
 *                                    configuration with "|" for line ends; more arguments go to openssl req
 * sign ARGUMENTS                     a whole tag, signed by openssl cms
 */
static const char library[] =
    "LEAF='basicConstraints=critical,CA:FALSE|keyUsage=critical,digitalSignature|extendedKeyUsage=emailProtection'\n"
    "CA='basicConstraints=critical,CA:TRUE|keyUsage=critical,keyCertSign,cRLSign|subjectKeyIdentifier=hash'\n"
    "ALICE='subjectAltName=email:alice@example.org'\n"
    "key() {\n"
    "  case $2 in\n"
    "  rsa*) set -- \"$1\" RSA -pkeyopt rsa_keygen_bits:${2#rsa} ;;\n"
    "  ed25519) set -- \"$1\" ED25519 ;;\n"
    "  *) set -- \"$1\" EC -pkeyopt ec_paramgen_curve:$2 -pkeyopt ec_param_enc:${3:-named_curve} ;;\n"
    "  esac\n"
    "  openssl genpkey -quiet -algorithm \"${@:2}\" -out $1.key\n"
    "}\n"
    "issue() {\n"
    "  local name=$1 issuer=$2 subject=$3 by=()\n"
    "  printf '[req]\\ndistinguished_name=n\\nx509_extensions=e\\n[n]\\n[e]\\n%s\\n' \"${4//|/$'\\n'}\" >$name.cnf\n"
    "  [ $name = $issuer ] || by=(-CA $issuer.pem -CAkey $issuer.key)\n"
    "  openssl req -x509 -new -utf8 -config $name.cnf -key $name.key -subj \"$subject\" -days 365 \"${by[@]}\" "
    "\"${@:5}\" \\\n"
    "    -set_serial ${SERIAL:-1$RANDOM$RANDOM$RANDOM} -out $name.pem\n"
    "}\n"
    "wrap() {\n"
    "  cat \"$TRUST\"/payload; echo '-----BEGIN SIGNED MESSAGE-----'; base64 -w64; echo '-----END SIGNED "
    "MESSAGE-----'\n"
    "}\n"
    "sign() {\n"
    "  openssl cms -sign -binary -in \"$TRUST\"/payload -outform DER -out .cms \"$@\"; wrap <.cms\n"
    "}\n";

#define LIBRARY ". \"$TRUST\"/x509.sh\n"

int x509_setup(void **state)
{
	if (trust_setup(state) != 0)
		return -1;
	support_write("x509.sh", library);
	trust_run(LIBRARY
	    "printf 'object %%040d\\ntype commit\\ntag v9\\ntagger A <a@b> 1 +0000\\n\\nRelease\\n' 1 >payload\n"
	    "for n in root inter alice; do key $n P-256; done; issue root root /CN=Root \"$CA\" -days 3650\n"
	    "issue inter root /CN=Inter \"$CA\" -days 1000; issue alice inter /CN=Alice \"$LEAF|$ALICE\"");
	x509_alice();
	return 0;
}

void x509_person(const char *id, const char *format, ...)
{
	g_autofree char *path = g_strdup_printf("people/%s.toml", id);
	g_autofree char *lines = NULL;
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	lines = g_strdup_vprintf(format, args);
	va_end(args);
	text = g_strdup_printf("name = \"%s\"\n%s", id, lines);
	if (strcmp(id, "alice") == 0)
		trust_run("rm -rf people; mkdir people; cp *.pem people/");
	support_write(path, text);
}

void x509_alice(void)
{
	x509_person("alice", "x509 = [{ subject = \"alice@example.org\", roots = \"root.pem\" }]\n");
}

GBytes *x509_tag(const char *arguments)
{
	return trust_output(LIBRARY "sign %s", arguments);
}

GBytes *x509_tag_by(const char *name)
{
	return trust_output(LIBRARY "sign -signer %s.pem -inkey %s.key -certfile inter.pem", name, name);
}

GBytes *x509_tag_by_alice(void)
{
	return x509_tag_by("alice");
}

GBytes *x509_tag_of(GBytes *cms)
{
	support_write_bytes("of.cms", g_bytes_get_data(cms, NULL), g_bytes_get_size(cms));
	return trust_output(LIBRARY "wrap <of.cms");
}

GBytes *x509_cms_of(GBytes *raw)
{
	support_write_bytes("of.tag", g_bytes_get_data(raw, NULL), g_bytes_get_size(raw));
	return trust_output("sed '1,/^-----BEGIN/d; /^-----END/d' of.tag | base64 -d");
}

GBytes *x509_payload(void)
{
	return support_read_bytes("payload");
}

char *x509_id(const char *name)
{
	return trust_text(
	    "echo SHA256:$(openssl x509 -in %s.pem -outform DER | openssl dgst -sha256 -binary | base64 | tr -d =)",
	    name);
}

void x509_good(GBytes *raw, int64_t at, const char *name)
{
	g_autofree char *id = x509_id(name);
	g_autoptr(GError) error = NULL;
	struct signer signer = { 0 };

	if (!trust_tag_verified(raw, at, &signer, &error))
		fail_msg("%s", error->message);
	assert_string_equal(signer.person, "alice");
	assert_int_equal(signer.format, SIGNATURE_X509);
	assert_string_equal(signer.key, id);
	assert_false(signer.hardware);
	signer_clear(&signer);
}
