/* CMS SignedData written by our own DER, for format_authenticode.c and format_cms.c. gitops/cms.h reads it. */
#pragma once

#include "gitops/cms.h"

/* What cms_write() puts together; the signed attributes are those that were signed. */
struct cms_recipe {
	const char *content_type;
	GBytes *content_element; /* NULL: detached */
	STACK_OF(X509) * certificates; /* leaf first */
	const struct cms_hash *hash;
	GBytes *attributes; /* SET */
	GBytes *signature;
	const char *token_oid; /* unsigned attribute that takes `token` */
	GBytes *token; /* or NULL */
	gboolean null_parameters; /* digest algorithms with NULL, as Windows writes them */
};
/* The ContentInfo; REFUSED if the signature does not verify with the leaf. */
GBytes *cms_write(const struct cms_recipe *recipe, GError **error);
/* The same message with one more value in an unsigned attribute of its only signer; nothing that is signed changes. */
GBytes *cms_add_unsigned(const struct cms *cms, const char *oid, GBytes *value, GError **error);
/* SEQUENCE { OID, SET { value } } */
GBytes *cms_attribute_new(const char *oid, GBytes *value);
/* The same, added to an array of GBytes; takes `value` over. */
void cms_attribute_add(GPtrArray *attributes, const char *oid, GBytes *value);
