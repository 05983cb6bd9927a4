/* MSG_LOOK: which projects the policy has, or what the sources of some show now. */
#include "server/gitops_role.h"

#include <string.h>

#include "gitops/base/bytes.h"
#include "gitops/base/error.h"
#include "server/names.h"
#include "server/reply.h"

#define TAGS "refs/tags/"

static gboolean list_tags(const struct policy_project *project, const char *path, struct json *tags, GError **error)
{
	g_autoptr(GPtrArray) refs = mirror_refs_below(path, TAGS, error);

	for (guint i = 0; refs != NULL && i < refs->len; i++) {
		const struct mirror_ref *ref = refs->pdata[i];
		const char *name = ref->name + strlen(TAGS);
		const struct policy_rule *rule = NULL;
		g_autoptr(GError) why = NULL;
		struct json *row;

		/* A tag that two rules match is listed too: the gate refuses it, and says so to whoever pushed it. */
		if (policy_match(project, name, &rule, &why) && rule == NULL)
			continue;
		row = json_object_new();
		json_set_string(row, "name", name);
		json_set_string(row, "id", ref->id);
		json_set_string(row, "rule", rule != NULL ? rule->name : NULL);
		json_append(tags, row);
	}
	return refs != NULL;
}

static struct json *strings(char **words)
{
	struct json *list = json_array_new();

	for (; words != NULL && *words != NULL; words++)
		json_append_string(list, *words);
	return list;
}

/* Which tags matter: by these engine passes over the webhooks of all others. */
static struct json *list_rules(const struct policy_project *project)
{
	struct json *rules = json_array_new();

	for (guint i = 0; i < project->rule_count; i++) {
		struct json *row = json_object_new();

		json_set_string(row, "name", project->rules[i].name);
		json_set(row, "tags", strings(project->rules[i].tags));
		json_set(row, "not_tags", strings(project->rules[i].not_tags));
		json_append(rules, row);
	}
	return rules;
}

static struct json *describe(const struct policy_project *project)
{
	struct json *row = json_object_new();

	json_set_string(row, "name", project->name);
	json_set_string(row, "source", project->source);
	json_set_string(row, "approvals", project->approvals_url);
	json_set(row, "hooks", strings(project->hooks));
	json_set(row, "rules", list_rules(project));
	return row;
}

static struct json *look_at(struct gitops *g, const struct policy_project *project)
{
	g_autoptr(GError) error = NULL;
	struct gitops_source source = { NULL };
	struct json *row = describe(project), *tags = json_array_new();

	if (gitops_source_open(g, project, TRUE, &source, &error))
		list_tags(project, source.path, tags, &error);
	gitops_source_clear(&source);
	if (error != NULL)
		log_event("warning", "project=\"%s\" %s", project->name, error->message);
	json_set_string(row, "error", error != NULL ? error->message : NULL);
	json_set(row, "tags", tags);
	return row;
}

static gboolean named(const struct json *names, const char *project)
{
	for (guint i = 0; i < json_length(names); i++)
		if (g_strcmp0(json_as_string(json_at(names, i)), project) == 0)
			return TRUE;
	return FALSE;
}

static struct json *look(struct gitops *g, const struct json *names)
{
	struct json *found = json_object_new(), *projects = json_array_new();

	for (guint i = 0; i < policy_project_count(g->policy); i++) {
		const struct policy_project *project = policy_project_at(g->policy, i);

		if (json_length(names) == 0)
			json_append(projects, describe(project));
		else if (named(names, project->name))
			json_append(projects, look_at(g, project));
	}
	json_set(found, "projects", projects);
	return found;
}

void gitops_look(struct role_context *role, struct peer *from, struct message *m)
{
	struct gitops *g = role->data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) bytes = NULL;
	autoptr(message) answer = NULL;
	autoptr(json) found = NULL;
	struct json *names = json_require(m->body, "projects", JSON_ARRAY, "look", &error);
	gboolean ok = names != NULL && gitops_policy(g, json_boolean(m->body, "fetch_policy", TRUE), &error);

	if (ok)
		found = look(g, names);
	answer = message_answer(m, MSG_LOOKED, error);
	if (ok) {
		bytes = json_canonical(found);
		json_set_string(answer->body, "policy", g->commit);
		if (!message_add_bytes(answer, "look.json", bytes, &error))
			log_event("err", "%s", error->message);
	} else {
		log_event("warning", "%s", error->message);
	}
	role_answer(role, from, answer);
}
