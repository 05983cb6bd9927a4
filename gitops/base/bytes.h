/*
 * Small helpers over bytes and files: hex, base64, digests, escaping, whole files, memfds, time, identifiers.
 * Pure functions unless said otherwise; safe in any process and thread.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_TEXT_SIZE 72 /* "sha256:", 64 hex digits, NUL */

/* Lower-case hex. Caller frees. */
char *hex_encode(const void *data, size_t size);
/* Lower- or upper-case hex of exactly `size` bytes; FALSE (no error) if it is anything else. */
gboolean hex_decode(const char *hex, uint8_t *out, size_t size);
/* TRUE if `text` is exactly 40 lower-case hex digits (a full SHA-1 object id). */
gboolean is_object_id(const char *text);
/* TRUE if `text` is "sha256:" and 64 lower-case hex digits. */
gboolean is_sha256_text(const char *text);

/* Strict RFC 4648 base64 (padding, no white space unless `allow_newlines`); NULL (no error) if it is anything
 * else. */
GBytes *base64_decode_strict(const char *text, size_t size, gboolean allow_newlines);

/* SHA-256 of memory, as "sha256:<hex>". Caller frees. */
char *sha256_text(const void *data, size_t size);
char *sha256_text_bytes(GBytes *bytes);
/* SHA-256 and size of a whole descriptor from offset 0 (pread, streaming in constant memory). */
char *sha256_text_fd(int fd, uint64_t *size, GError **error);

/* For messages and logs: printable UTF-8 stays; control, bidi and invisible characters, bytes that are not UTF-8 and
 * double quotes become \xNN; at most `max` bytes, the last three of them "..." if it was cut. `size` -1: to the NUL. */
char *text_escape(const char *text, gssize size, size_t max);
/* Valid UTF-8 of one line, without control, bidi and invisible characters? */
gboolean text_is_clean(const char *text, size_t size);

/* The whole file, at most `max` bytes (TAGSEAL_ERROR_TOO_LARGE above). NOT_FOUND if it does not exist, else
 * UNKNOWN. "-" reads stdin. */
GBytes *file_read(const char *path, size_t max, GError **error);
/* fd_*(): the error does not know the file's name; the caller prefixes it. Reading beyond the end is REFUSED: what the
 * file says of itself is not true. */
/* The whole of a descriptor from offset 0, by pread; its offset is untouched. */
GBytes *fd_read(int fd, size_t max, GError **error);
/* A file, or a folder with all below it; links are removed and not followed. What cannot be removed stays. */
void path_remove(const char *path);
/* Atomically (temporary file in the same folder, fsync, rename, fsync of the folder). What is no file (a device, a pipe,
 * anything in /dev) is written into, never replaced. */
gboolean file_write(const char *path, const void *data, size_t size, int mode, GError **error);
/* write() all of it at the descriptor's offset. */
gboolean fd_write_all(int fd, const void *data, size_t size, GError **error);
gboolean fd_pread_all(int fd, void *data, size_t size, uint64_t offset, GError **error);
/* Copies [offset, offset+size) of `from` to the present offset of `to`, in the kernel where possible. */
gboolean fd_copy(int from, uint64_t offset, uint64_t size, int to, GError **error);
gboolean fd_size(int fd, uint64_t *size, GError **error);

/* A sealed (unwritable, unshrinkable) memfd holding these bytes; -1 with error. Caller closes. */
int memfd_from_bytes(const char *name, GBytes *bytes, GError **error);
/* An empty memfd that may be written and sealed later; -1 with error. */
int memfd_new(const char *name, GError **error);

/* Now, in milliseconds since 1970. */
int64_t time_now_ms(void);
/* RFC 3339 UTC with milliseconds, "2026-03-01T00:00:00.000Z". Caller frees. */
char *time_format_ms(int64_t ms);
/* RFC 3339 with Z or offset, fraction optional, no leap second; FALSE (no error) if it is anything
 * else. */
gboolean time_parse_ms(const char *text, int64_t *ms);

/* A fresh ULID (26 characters, Crockford base 32): 48 bits of milliseconds, 80 random bits. Caller frees. */
char *ulid_new(void);
gboolean is_ulid(const char *text);

/* Git's own rule for reference names (git-check-ref-format(1)), full names ("refs/...") only, at most 255 bytes. */
gboolean is_ref_name(const char *name);
/*
 * Glob of policies and artifact lines: `*` any characters but '/', `?` one of them, `[a-z]` and `[!a]` one of a set;
 * `**` crosses '/', and "**" + "/" also takes no folder at all. \ and / are alike if `paths`; no character is escaped
 * by \. The whole text must match.
 */
gboolean glob_match(const char *pattern, const char *text, gboolean paths, gboolean ignore_case);

/* For "did you mean": the nearest of a NULL-terminated list, or NULL if none is near (about a third of the characters
 * may differ). Borrowed from the list. */
const char *name_nearest(const char *name, const char *const *names);
