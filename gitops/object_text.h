/*
 * What the tag and commit parsers share: the rules on the text as a whole, header lines, identities and armor. Internal to
 * gitops/.   git-signatures: gitformat-signature(5), git-cat-file(1)
 */
#pragma once

#include "gitops/base/cursor.h"
#include "gitops/object.h"

/* The bytes as a NUL-terminated string, once size, NUL, CR and UTF-8 were checked. Caller frees. */
char *object_text(GBytes *raw, const char *what, GError **error);
/* The value of the header line "KEY value", which must come next. Caller frees. */
gboolean object_header(struct cursor *c, const char *key, char **value);
/* As object_header(), of a full SHA-1 object id. */
gboolean object_header_id(struct cursor *c, const char *key, char **id);
/* "KEY Name <email> seconds +hhmm". */
gboolean object_identity(struct cursor *c, const char *key, struct identity *identity);
void identity_clear(struct identity *identity);
/* The empty line between headers and message; any header in its place is refused by name. */
gboolean object_headers_end(struct cursor *c);
/* Does the line of this text start with "KEY "? */
gboolean object_next_is(const struct cursor *c, const char *key);

/* The offset of the next line in text[from, size) that begins a signature (also a mislabelled one); `size` if there is none. */
size_t armor_next(const char *text, size_t from, size_t size);
/* armor[0, size) must be exactly one block, from BEGIN to END and one optional line end; else a reason (static), and NULL if
 * all is well. */
const char *armor_refusal(const char *armor, size_t size, enum signature_format *format);
/* The base64 body of a block that armor_refusal() found good, without its two marker lines. */
void armor_body(const char *armor, const char **body, size_t *size);
