/* JSON values: building, asking, comparing. */
#include "gitops/base/json_value.h"

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"

static void member_clear(void *data)
{
	struct json_member *member = data;

	g_free(member->key);
	json_unref(member->value);
}

static void item_free(void *data)
{
	json_unref(data);
}

struct json *json_value_new(enum json_kind kind)
{
	struct json *value = g_new0(struct json, 1);

	value->refs = 1;
	value->kind = kind;
	if (kind == JSON_ARRAY)
		value->items = g_ptr_array_new_with_free_func(item_free);
	if (kind == JSON_OBJECT) {
		value->members = g_array_new(FALSE, FALSE, sizeof(struct json_member));
		g_array_set_clear_func(value->members, member_clear);
	}
	return value;
}

struct json *json_ref(struct json *value)
{
	value->refs++;
	return value;
}

void json_unref(struct json *value)
{
	if (value == NULL || --value->refs > 0)
		return;
	switch (value->kind) {
	case JSON_STRING:
	case JSON_NUMBER:
		g_free(value->text);
		break;
	case JSON_ARRAY:
		g_ptr_array_unref(value->items);
		break;
	case JSON_OBJECT:
		g_array_unref(value->members);
		break;
	default:
		break;
	}
	g_free(value);
}

struct json *json_object_new(void)
{
	return json_value_new(JSON_OBJECT);
}

struct json *json_array_new(void)
{
	return json_value_new(JSON_ARRAY);
}

struct json *json_string_new(const char *text)
{
	struct json *value = json_value_new(JSON_STRING);

	value->text = g_utf8_make_valid(text, -1);
	return value;
}

struct json *json_integer_new(int64_t number)
{
	struct json *value;

	if (number > JSON_INTEGER_MAX || number < -JSON_INTEGER_MAX)
		return json_null_new();
	value = json_value_new(JSON_INTEGER);
	value->integer = number;
	return value;
}

struct json *json_boolean_new(gboolean boolean)
{
	struct json *value = json_value_new(JSON_BOOLEAN);

	value->boolean = !!boolean;
	return value;
}

struct json *json_null_new(void)
{
	return json_value_new(JSON_NULL);
}

/*
 * UTF-8 sorts by code point. UTF-16 differs only where a character beyond U+FFFF, written with surrogates (D800 to
 * DFFF), meets one of E000 to FFFF: in UTF-8 these begin with F0 to F4, and with EE or EF.
 */
static unsigned utf16_rank(uint8_t lead)
{
	return lead >= 0xf0 ? lead - 0xf0 + 0xee : lead >= 0xee ? lead - 0xee + 0xf3 : lead;
}

int json_key_compare(const char *a, const char *b)
{
	while (*a == *b && *a != '\0')
		a++, b++;
	return (int)utf16_rank((uint8_t)*a) - (int)utf16_rank((uint8_t)*b);
}

static struct json_member *member_at(const struct json *object, guint index)
{
	return &g_array_index(object->members, struct json_member, index);
}

/* Where the key stands, or would stand; TRUE if it does. */
static gboolean member_find(const struct json *object, const char *key, guint *index)
{
	guint low = 0, high = object->members->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;
		int order = json_key_compare(member_at(object, middle)->key, key);

		*index = middle;
		if (order == 0)
			return TRUE;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*index = low;
	return FALSE;
}

void json_member_append(struct json *object, char *key, struct json *value, size_t offset)
{
	struct json_member member = { .key = key, .value = value, .offset = offset };

	g_array_append_val(object->members, member);
}

void json_set(struct json *object, const char *key, struct json *value)
{
	guint index;
	gboolean found;

	g_assert(object->kind == JSON_OBJECT);
	found = member_find(object, key, &index);
	if (found && value == NULL) {
		g_array_remove_index(object->members, index);
	} else if (found) {
		json_unref(member_at(object, index)->value);
		member_at(object, index)->value = value;
	} else if (value != NULL) {
		struct json_member member = { .key = g_utf8_make_valid(key, -1), .value = value };

		g_array_insert_val(object->members, index, member);
	}
}

void json_set_string(struct json *object, const char *key, const char *text)
{
	json_set(object, key, text == NULL ? NULL : json_string_new(text));
}

void json_set_integer(struct json *object, const char *key, int64_t number)
{
	json_set(object, key, json_integer_new(number));
}

void json_set_boolean(struct json *object, const char *key, gboolean value)
{
	json_set(object, key, json_boolean_new(value));
}

void json_append(struct json *array, struct json *value)
{
	g_assert(array->kind == JSON_ARRAY);
	g_ptr_array_add(array->items, value);
}

void json_append_string(struct json *array, const char *text)
{
	json_append(array, json_string_new(text));
}

enum json_kind json_kind(const struct json *value)
{
	return value == NULL ? JSON_NULL : value->kind;
}

struct json *json_get(const struct json *object, const char *key)
{
	guint index;

	if (json_kind(object) != JSON_OBJECT || !member_find(object, key, &index))
		return NULL;
	return member_at(object, index)->value;
}

/* One step of a path: a member, or an array's item by its number. */
static struct json *step(const struct json *value, const char *name)
{
	guint64 index;

	if (json_kind(value) == JSON_OBJECT)
		return json_get(value, name);
	if (!g_ascii_string_to_unsigned(name, 10, 0, G_MAXUINT, &index, NULL))
		return NULL;
	return json_at(value, (guint)index);
}

struct json *json_path(const struct json *value, const char *path)
{
	g_auto(GStrv) names = g_strsplit(path, ".", -1);
	struct json *found = NULL;

	for (char **name = names; *name != NULL; name++) {
		found = step(value, *name);
		if (found == NULL)
			return NULL;
		value = found;
	}
	return found;
}

const char *json_string(const struct json *object, const char *key)
{
	return json_as_string(json_get(object, key));
}

int64_t json_integer(const struct json *object, const char *key, int64_t otherwise)
{
	return json_as_integer(json_get(object, key), otherwise);
}

gboolean json_boolean(const struct json *object, const char *key, gboolean otherwise)
{
	const struct json *value = json_get(object, key);

	return json_kind(value) == JSON_BOOLEAN ? value->boolean : otherwise;
}

const char *json_as_string(const struct json *value)
{
	return json_kind(value) == JSON_STRING ? value->text : NULL;
}

int64_t json_as_integer(const struct json *value, int64_t otherwise)
{
	return json_kind(value) == JSON_INTEGER ? value->integer : otherwise;
}

guint json_length(const struct json *value)
{
	if (json_kind(value) == JSON_ARRAY)
		return value->items->len;
	return json_kind(value) == JSON_OBJECT ? value->members->len : 0;
}

struct json *json_at(const struct json *array, guint index)
{
	if (json_kind(array) != JSON_ARRAY || index >= array->items->len)
		return NULL;
	return g_ptr_array_index(array->items, index);
}

struct json *json_member(const struct json *object, guint index, const char **key)
{
	if (json_kind(object) != JSON_OBJECT || index >= object->members->len)
		return NULL;
	if (key != NULL)
		*key = member_at(object, index)->key;
	return member_at(object, index)->value;
}

struct json *json_copy(const struct json *value)
{
	struct json *copy = json_value_new(json_kind(value));

	switch (copy->kind) {
	case JSON_NULL:
		break;
	case JSON_BOOLEAN:
		copy->boolean = value->boolean;
		break;
	case JSON_INTEGER:
		copy->integer = value->integer;
		break;
	case JSON_STRING:
	case JSON_NUMBER:
		copy->text = g_strdup(value->text);
		break;
	case JSON_ARRAY:
		for (guint i = 0; i < value->items->len; i++)
			json_append(copy, json_copy(json_at(value, i)));
		break;
	case JSON_OBJECT:
		for (guint i = 0; i < value->members->len; i++) {
			const struct json_member *member = member_at(value, i);

			json_member_append(copy, g_strdup(member->key), json_copy(member->value), 0);
		}
		break;
	}
	return copy;
}

static gboolean items_equal(const struct json *a, const struct json *b)
{
	for (guint i = 0; i < json_length(a); i++) {
		if (!json_equal(json_at(a, i), json_at(b, i)))
			return FALSE;
	}
	return json_length(a) == json_length(b);
}

static gboolean members_equal(const struct json *a, const struct json *b)
{
	if (json_length(a) != json_length(b))
		return FALSE;
	for (guint i = 0; i < json_length(a); i++) {
		const struct json_member *left = member_at(a, i), *right = member_at(b, i);

		if (!g_str_equal(left->key, right->key) || !json_equal(left->value, right->value))
			return FALSE;
	}
	return TRUE;
}

gboolean json_equal(const struct json *a, const struct json *b)
{
	if (json_kind(a) != json_kind(b))
		return FALSE;
	switch (json_kind(a)) {
	case JSON_BOOLEAN:
		return a->boolean == b->boolean;
	case JSON_INTEGER:
		return a->integer == b->integer;
	case JSON_STRING:
	case JSON_NUMBER:
		return g_str_equal(a->text, b->text);
	case JSON_ARRAY:
		return items_equal(a, b);
	case JSON_OBJECT:
		return members_equal(a, b);
	default:
		return TRUE;
	}
}

static const char *const kind_names[] = {
	[JSON_NULL] = "null",
	[JSON_BOOLEAN] = "true or false",
	[JSON_INTEGER] = "an integer",
	[JSON_NUMBER] = "a number",
	[JSON_STRING] = "a string",
	[JSON_ARRAY] = "an array",
	[JSON_OBJECT] = "an object",
};

struct json *json_require(
    const struct json *object, const char *key, enum json_kind kind, const char *what, GError **error)
{
	struct json *value = json_get(object, key);

	if (value != NULL && value->kind == kind)
		return value;
	error_refused(error, "%s: \"%s\" is missing or not %s", what, key, kind_names[kind]);
	return NULL;
}

const char *json_require_string(const struct json *object, const char *key, const char *what, GError **error)
{
	return json_as_string(json_require(object, key, JSON_STRING, what, error));
}

gboolean json_require_integer(const struct json *object, const char *key, int64_t min, int64_t max, int64_t *out,
    const char *what, GError **error)
{
	const struct json *value = json_require(object, key, JSON_INTEGER, what, error);

	if (value == NULL)
		return FALSE;
	if (value->integer < min || value->integer > max) {
		error_refused(error,
		    "%s: \"%s\" must be %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ", not %" G_GINT64_FORMAT, what, key,
		    min, max, value->integer);
		return FALSE;
	}
	*out = value->integer;
	return TRUE;
}

gboolean json_only_keys(const struct json *object, const char *const *keys, const char *what, GError **error)
{
	if (json_kind(object) != JSON_OBJECT) {
		error_refused(error, "%s: it is not an object", what);
		return FALSE;
	}
	for (guint i = 0; i < object->members->len; i++) {
		const char *key = member_at(object, i)->key;

		if (!g_strv_contains(keys, key)) {
			g_autofree char *shown = text_escape(key, -1, 128);

			error_refused(error, "%s: unknown key \"%s\"", what, shown);
			return FALSE;
		}
	}
	return TRUE;
}
