/*
 * libclamav calls a file clean in many cases where it did not look at it: no temporary folder, no descriptors left, a limit reached, an encrypted member. So
 * its word is taken only together with what it told on the way: layers inspected, and neither an error nor a warning.
 */
#include "signer/scan.h"

#include <clamav.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

#define TOO_SMALL_TO_LOOK 5 /* libclamav passes over files of up to five bytes: none of its signatures is so short */
#define MAX_SIZE_OF_LIBCLAMAV (2147483647LL - 1)
#define DEFAULT_MAX_FILES 1000000 /* of one archive; the library's 10,000 are fewer than an ordinary source tree has */
#define DEFAULT_MAX_DEPTH 17
#define DEFAULT_MAX_SECONDS 600

/* A text that no file of anybody holds, and the signature that finds it: loaded beside the databases, so that it is found whatever they have. */
#define CANARY "tagseal canary 0f5c2b6a9e7d41d38c1b:do not be afraid"
static const char canary_signature[] =
    "Tagseal.Canary:0:*:"
    "7461677365616c2063616e6172792030663563326236613965376434316433386331623a646f206e6f7420626520616672616964\n";

#ifdef __SANITIZE_ADDRESS__
/* cl_load() forgets some tables of its own when it is called a second time (for the canary): a few KiB once a process. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libclamav.so";
}
#endif

struct scanner {
	struct cl_engine *engine;
	guint signatures;
	int64_t database_ms;
	guint database_version; /* of the official daily database; 0: there is none */
	struct scan_options options;
	char *database, *temp;
	struct cl_stat stat;
};

/* What the library told and did during one call. It has one message callback a process, so this is one a process too. */
static struct {
	guint errors, warnings, layers;
	char first[200];
} told;

static void on_message(enum cl_msg severity, const char *full, const char *message, void *context)
{
	(void)full;
	(void)context;
	if (severity != CL_MSG_ERROR && severity != CL_MSG_WARN)
		return;
	if (told.errors + told.warnings == 0)
		g_strlcpy(told.first, message, sizeof(told.first));
	g_strchomp(told.first);
	told.errors += severity == CL_MSG_ERROR;
	told.warnings += severity == CL_MSG_WARN;
}

static cl_error_t on_layer(int fd, const char *type, const char **ancestors, size_t parent_size, const char *name,
    size_t size, const char *buffer, uint32_t level, uint32_t attributes, void *context)
{
	(void)fd, (void)type, (void)ancestors, (void)parent_size, (void)name, (void)size, (void)buffer, (void)level,
	    (void)attributes, (void)context;
	told.layers++;
	return CL_CLEAN;
}

static gboolean unknown(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean unknown(GError **error, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_set_error_literal(error, TAGSEAL_ERROR, TAGSEAL_ERROR_UNKNOWN, text);
	return FALSE;
}

static gboolean library_ready(GError **error)
{
	static gboolean ready;
	cl_error_t code;

	if (ready)
		return TRUE;
	cl_set_clcb_msg(on_message); /* before all else: what is told while it starts counts too */
	code = cl_init(CL_INIT_DEFAULT);
	ready = code == CL_SUCCESS;
	return ready || unknown(error, "the malware scanner cannot be started: %s", cl_strerror(code));
}

gboolean scanner_move(struct scanner *scanner, const char *temp, GError **error)
{
	return cl_engine_set_str(scanner->engine, CL_ENGINE_TMPDIR, temp) == CL_SUCCESS ||
	       unknown(error, "the malware scanner refuses the temporary folder %s", temp);
}

static gboolean set_limits(struct scanner *s, GError **error)
{
	const struct scan_options *o = &s->options;
	const struct {
		enum cl_engine_field field;
		long long value;
	} numbers[] = {
		/* A member of a zip that is over MAX_FILESIZE is cut without a word; with both limits equal the other one tells. */
		{ CL_ENGINE_MAX_SCANSIZE, o->max_size }, { CL_ENGINE_MAX_FILESIZE, o->max_size },
		{ CL_ENGINE_MAX_RECURSION, o->max_depth }, { CL_ENGINE_MAX_FILES, o->max_files },
		{ CL_ENGINE_MAX_SCANTIME, o->max_seconds * 1000LL },
		{ CL_ENGINE_DISABLE_CACHE, 1 }, /* keyed by MD5: a twin would skip the scan */
		{ CL_ENGINE_DISABLE_PE_CERTS, 1 }, /* a signature of somebody's is no reason not to look */
	};

	for (guint i = 0; i < G_N_ELEMENTS(numbers); i++)
		if (cl_engine_set_num(s->engine, numbers[i].field, numbers[i].value) != CL_SUCCESS)
			return unknown(error, "the malware scanner refuses a limit of %lld", numbers[i].value);
	cl_engine_set_clcb_file_inspection(s->engine, on_layer);
	return scanner_move(s, s->temp, error);
}

/* The newest file's time, or that of the official daily database, which has it in its head. */
static gboolean look_at_database(struct scanner *s, GError **error)
{
	g_autoptr(GDir) folder = g_dir_open(s->database, 0, NULL);
	const char *name;

	if (folder == NULL)
		return unknown(error, "the malware databases cannot be read: there is no folder %s", s->database);
	while ((name = g_dir_read_name(folder)) != NULL) {
		g_autofree char *path = g_build_filename(s->database, name, NULL);
		struct cl_cvd *head = g_str_has_prefix(name, "daily.c") ? cl_cvdhead(path) : NULL;
		struct stat about;

		if (head != NULL) {
			s->database_version = head->version;
			s->database_ms = MAX(s->database_ms, (int64_t)head->stime * 1000);
			cl_cvdfree(head);
		} else if (stat(path, &about) == 0 && s->database_version == 0) {
			s->database_ms = MAX(s->database_ms, (int64_t)about.st_mtime * 1000);
		}
	}
	return TRUE;
}

static gboolean load_canary(struct scanner *s, GError **error)
{
	g_autofree char *path = g_build_filename(s->temp, "canary.ndb", NULL);
	guint count = 0;
	cl_error_t code;

	if (!file_write(path, canary_signature, strlen(canary_signature), 0600, error)) {
		g_prefix_error(error, "the malware scanner's temporary folder: ");
		return FALSE;
	}
	code = cl_load(path, s->engine, &count, CL_DB_STDOPT);
	unlink(path);
	return code == CL_SUCCESS ||
	       unknown(error, "the malware scanner does not take its canary: %s", cl_strerror(code));
}

static gboolean load(struct scanner *s, GError **error)
{
	cl_error_t code;

	memset(&told, 0, sizeof(told));
	if (!look_at_database(s, error) || !load_canary(s, error))
		return FALSE;
	if ((code = cl_load(s->database, s->engine, &s->signatures, CL_DB_STDOPT)) != CL_SUCCESS)
		return unknown(error,
		    "the malware databases in %s cannot be loaded: %s (run freshclam, or check the folder)",
		    s->database, cl_strerror(code));
	if (told.errors + told.warnings > 0) { /* a broken rule is dropped with a warning, and the load still called good */
		g_autofree char *shown = text_escape(told.first, -1, 150);
		return unknown(error, "the malware databases in %s are not whole: %s", s->database, shown);
	}
	if (s->signatures < MAX(s->options.min_signatures, 1))
		return unknown(error,
		    "the malware databases in %s have %u signatures, fewer than the %u that are asked for", s->database,
		    s->signatures, MAX(s->options.min_signatures, 1));
	if ((code = cl_engine_compile(s->engine)) != CL_SUCCESS)
		return unknown(error, "the malware databases in %s cannot be used: %s", s->database, cl_strerror(code));
	return TRUE;
}

static gboolean young_enough(const struct scanner *s, GError **error)
{
	int64_t age = time_now_ms() - s->database_ms;

	if (s->options.max_database_age_ms == 0 || age <= s->options.max_database_age_ms)
		return TRUE;
	return unknown(error,
	    "the malware databases in %s are %" PRId64 " hours old, older than is allowed: run freshclam", s->database,
	    age / 3600000);
}

struct scanner *scanner_open(const struct scan_options *options, GError **error)
{
	autoptr(scanner) s = g_new0(struct scanner, 1);

	s->options = *options;
	s->options.max_size =
	    options->max_size == 0 ? MAX_SIZE_OF_LIBCLAMAV : MIN(options->max_size, MAX_SIZE_OF_LIBCLAMAV);
	s->options.max_files = options->max_files > 0 ? options->max_files : DEFAULT_MAX_FILES;
	s->options.max_depth = options->max_depth > 0 ? options->max_depth : DEFAULT_MAX_DEPTH;
	s->options.max_seconds = options->max_seconds > 0 ? options->max_seconds : DEFAULT_MAX_SECONDS;
	s->database = g_strdup(options->database);
	s->temp = g_strdup(options->temp);
	if (!library_ready(error) || (s->engine = cl_engine_new()) == NULL || !set_limits(s, error) ||
	    !load(s, error) || !young_enough(s, error) || !scanner_canary(s, error)) {
		if (error != NULL && *error == NULL)
			unknown(error, "the malware scanner cannot be started: no memory");
		return NULL;
	}
	cl_statinidir(s->database, &s->stat);
	return g_steal_pointer(&s);
}

void scanner_free(struct scanner *scanner)
{
	if (scanner == NULL)
		return;
	if (scanner->engine != NULL)
		cl_engine_free(scanner->engine);
	cl_statfree(&scanner->stat);
	g_free(scanner->database);
	g_free(scanner->temp);
	g_free(scanner);
}

struct json *scanner_facts(const struct scanner *scanner)
{
	struct json *facts = json_object_new();
	g_autofree char *engine = g_strdup_printf("libclamav %s", cl_retver());
	g_autofree char *time = time_format_ms(scanner->database_ms);

	json_set_string(facts, "engine", engine);
	json_set_string(facts, "database_time", time);
	json_set_integer(facts, "signatures", scanner->signatures);
	if (scanner->database_version > 0)
		json_set_integer(facts, "database_version", scanner->database_version);
	return facts;
}

gboolean scanner_stale(const struct scanner *scanner)
{
	return cl_statchkdir(&scanner->stat) != 0;
}

/* One call of the library. Returns its word; *found is the name of what it found, or NULL. */
static cl_error_t look(struct scanner *s, int fd, char **found)
{
	struct cl_scan_options options = {
		.general = CL_SCAN_GENERAL_HEURISTICS,
		.parse = ~0u,
		/* Not CL_SCAN_HEURISTIC_BROKEN: it calls sound EFI programs broken; what shape a program may have is the structure gate's to say. */
		.heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX | CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE |
			     CL_SCAN_HEURISTIC_ENCRYPTED_DOC,
	};
	const char *name = NULL;
	unsigned long scanned = 0;
	cl_error_t code;

	memset(&told, 0, sizeof(told));
	code = cl_scandesc_callback(fd, NULL, &name, &scanned, s->engine, &options, NULL);
	*found = code == CL_VIRUS && name != NULL ? text_escape(name, -1, 200)
						  : NULL; /* limits are told as a finding without a name */
	return code;
}

/* NULL: clean. Else why this is not known, from all that the library told. */
static char *doubt(cl_error_t code, const char *found, uint64_t size)
{
	static const char *const not_looked[][2] = {
		{ "Heuristics.Limits.Exceeded", "it is larger, deeper or slower to unpack than the limits" },
		{ "Heuristics.Encrypted", "part of it is encrypted" },
	};

	if (code == CL_VIRUS && found == NULL)
		return g_strdup("it is over the limits");
	for (guint i = 0; code == CL_VIRUS && i < G_N_ELEMENTS(not_looked); i++)
		if (g_str_has_prefix(found, not_looked[i][0]))
			return g_strdup_printf("%s (%s)", not_looked[i][1], found);
	if (code != CL_CLEAN && code != CL_VIRUS)
		return g_strdup(cl_strerror(code));
	if (told.errors + told.warnings > 0) {
		g_autofree char *shown = text_escape(told.first, -1, 150);
		return g_strdup_printf("the scanner told of a fault: %s", shown);
	}
	return code == CL_CLEAN && told.layers == 0 && size > TOO_SMALL_TO_LOOK
		   ? g_strdup("the scanner did not look into it")
		   : NULL;
}

/* A zip of one stored member with the canary, made here so that the whole way through a container is tried. */
static GBytes *canary_zip(void)
{
	static const uint8_t local[] = { 'P', 'K', 3, 4, 10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0 };
	static const uint8_t central[] = { 'P', 'K', 1, 2, 10, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0 };
	GByteArray *zip = g_byte_array_new();
	uint32_t size = strlen(CANARY), crc = 0xffffffff, start;
	uint8_t sizes[14] = { 0 }, rest[12] = { 0 }, end[22] = { 'P', 'K', 5, 6, 0, 0, 0, 0, 1, 0, 1 };

	for (const char *c = CANARY; *c != '\0'; c++) {
		crc ^= (uint8_t)*c;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
	}
	crc = GUINT32_TO_LE(~crc);
	size = GUINT32_TO_LE(size);
	memcpy(sizes, &crc, 4), memcpy(sizes + 4, &size, 4), memcpy(sizes + 8, &size, 4);
	sizes[12] = 1; /* length of the name */
	g_byte_array_append(zip, local, sizeof(local));
	g_byte_array_append(zip, sizes, sizeof(sizes));
	g_byte_array_append(zip, (const uint8_t *)"\0\0c", 2 + 1);
	g_byte_array_append(zip, (const uint8_t *)CANARY, strlen(CANARY));
	start = GUINT32_TO_LE(zip->len);
	g_byte_array_append(zip, central, sizeof(central));
	g_byte_array_append(zip, sizes, sizeof(sizes));
	g_byte_array_append(zip, rest, sizeof(rest)); /* extra, comment, disk, attributes */
	g_byte_array_append(zip, (const uint8_t *)"\0\0\0\0c", 4 + 1);
	size = GUINT32_TO_LE(zip->len - GUINT32_FROM_LE(start));
	memcpy(end + 12, &size, 4), memcpy(end + 16, &start, 4);
	g_byte_array_append(zip, end, sizeof(end));
	return g_byte_array_free_to_bytes(zip);
}

static gboolean finds_canary(struct scanner *s, GBytes *bytes, const char *how, GError **error)
{
	autofd int fd = memfd_from_bytes("canary", bytes, error);
	g_autofree char *found = NULL;

	if (fd < 0)
		return FALSE;
	if (look(s, fd, &found) != CL_VIRUS || found == NULL || !g_str_has_prefix(found, "Tagseal.Canary"))
		return unknown(error,
		    "the malware scanner does not find its canary (%s), so its word is worth nothing: %s", how,
		    told.first[0] != '\0' ? told.first : "nothing was told");
	return TRUE;
}

gboolean scanner_canary(struct scanner *scanner, GError **error)
{
	g_autoptr(GBytes) plain = g_bytes_new_static(CANARY, strlen(CANARY)), zip = canary_zip();

	return finds_canary(scanner, plain, "plain", error) && finds_canary(scanner, zip, "in a zip", error);
}

/* What the library does not unpack it would call clean. */
static gboolean readable(const struct scanner *s, int fd, uint64_t *size, GError **error)
{
	static const uint8_t zstandard[4] = { 0x28, 0xb5, 0x2f, 0xfd };
	uint8_t head[4] = { 0 };

	if (!fd_size(fd, size, error))
		return FALSE;
	if (*size > s->options.max_size)
		return unknown(error, "not scanned: it has %" PRIu64 " bytes, the scanner takes at most %" PRIu64,
		    *size, s->options.max_size);
	if (*size >= sizeof(head) && fd_pread_all(fd, head, sizeof(head), 0, NULL) &&
	    memcmp(head, zstandard, sizeof(head)) == 0)
		return unknown(error, "not scanned: the scanner cannot unpack Zstandard; use gzip or xz");
	return TRUE;
}

gboolean scanner_scan(struct scanner *scanner, int fd, struct json **report, GError **error)
{
	autoptr(json) facts = scanner_facts(scanner);
	g_autofree char *found = NULL, *why = NULL;
	const char *verdict = "not scanned";
	gboolean clean = FALSE;
	uint64_t size = 0;
	cl_error_t code;

	if (readable(scanner, fd, &size, error) && young_enough(scanner, error)) {
		code = look(scanner, fd, &found);
		why = doubt(code, found, size);
		clean = why == NULL && code == CL_CLEAN;
		verdict = clean ? "clean" : why == NULL ? "infected" : verdict;
		if (why != NULL)
			unknown(error, "not scanned: %s", why);
		else if (!clean)
			error_refused(error, "%s found", found);
	}
	json_set_string(facts, "verdict", verdict);
	if (!clean && why == NULL && found != NULL)
		json_set_string(facts, "found", found);
	if (report != NULL)
		*report = g_steal_pointer(&facts);
	return clean;
}
