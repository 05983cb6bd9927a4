/* What a timestamp token says (TSTInfo), and what was asked (TimeStampReq): RFC 3161, 2.4, read strictly. */
#pragma once

#include <glib.h>
#include <stdint.h>

#include "gitops/cms.h"

struct tst_imprint {
	const struct cms_hash *hash;
	const uint8_t *value; /* borrowed */
	size_t size;
};

struct tst_info {
	char *policy; /* dotted OID */
	struct tst_imprint imprint;
	struct der serial, nonce, name; /* borrowed; nonce and name (a GeneralName) have size 0 if absent */
	int64_t time_ms, accuracy_ms;
};
gboolean tst_info_read(GBytes *der, struct tst_info *out, GError **error);
void tst_info_clear(struct tst_info *info);

struct tst_query {
	char *policy; /* or NULL */
	struct tst_imprint imprint;
	struct der nonce;
	gboolean certificate; /* certReq */
};
gboolean tst_query_read(GBytes *der, struct tst_query *out, GError **error);
void tst_query_clear(struct tst_query *query);
