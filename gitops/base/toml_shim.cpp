/* The only C++ in the tree: toml++ behind one C function. */
#include "gitops/base/toml_shim.h"

#include <cstdio>
#include <exception>
#include <string>

#include <toml++/toml.h>

namespace
{

struct walk {
	toml_shim_add add;

	void table(const toml::table &table, void *parent) const
	{
		for (const auto &[key, value] : table)
			node(value, key.source().begin, key.str(), parent);
	}

	void array(const toml::array &array, void *parent) const
	{
		for (const auto &value : array)
			node(value, value.source().begin, {}, parent);
	}

	void node(const toml::node &value, toml::source_position at, std::string_view key, void *parent) const
	{
		toml_shim_node out{};
		std::string time;

		out.key = key.data();
		out.key_size = key.size();
		out.line = at.line;
		out.column = at.column;
		fill(value, out, time);
		void *added = add(parent, &out);
		if (value.is_table())
			table(*value.as_table(), added);
		else if (value.is_array())
			array(*value.as_array(), added);
	}

	static void fill(const toml::node &value, toml_shim_node &out, std::string &time)
	{
		if (const auto *text = value.as_string()) {
			out.kind = SHIM_STRING;
			out.text = text->get().data();
			out.text_size = text->get().size();
		} else if (const auto *integer = value.as_integer()) {
			out.kind = SHIM_INTEGER;
			out.integer = integer->get();
		} else if (const auto *boolean = value.as_boolean()) {
			out.kind = SHIM_BOOLEAN;
			out.boolean = boolean->get();
		} else if (value.is_floating_point()) {
			out.kind = SHIM_FLOAT;
		} else if (value.is_array()) {
			out.kind = SHIM_ARRAY;
		} else if (value.is_table()) {
			out.kind = SHIM_TABLE;
		} else {
			out.kind = SHIM_TIME;
			if (const auto *moment = value.as_date_time(); moment && moment->get().offset) {
				time = rfc3339(moment->get());
				out.text = time.data();
				out.text_size = time.size();
			}
		}
	}

	static std::string rfc3339(const toml::date_time &moment)
	{
		int minutes = moment.offset->minutes, away = minutes < 0 ? -minutes : minutes;
		char text[64];

		std::snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%09u%c%02d:%02d",
		    static_cast<unsigned>(moment.date.year), static_cast<unsigned>(moment.date.month),
		    static_cast<unsigned>(moment.date.day), static_cast<unsigned>(moment.time.hour),
		    static_cast<unsigned>(moment.time.minute), static_cast<unsigned>(moment.time.second),
		    static_cast<unsigned>(moment.time.nanosecond), minutes < 0 ? '-' : '+', away / 60, away % 60);
		return text;
	}
};

void fail(toml_shim_error *error, unsigned line, unsigned column, std::string_view reason)
{
	error->line = line;
	error->column = column;
	std::snprintf(error->reason, sizeof(error->reason), "%.*s", static_cast<int>(reason.size()), reason.data());
}

} // namespace

int toml_shim_read(const char *text, size_t size, toml_shim_add add, void *root, toml_shim_error *error)
{
	try {
		walk{ add }.table(toml::parse(std::string_view(text, size)), root);
		return 1;
	} catch (const toml::parse_error &e) {
		fail(error, e.source().begin.line, e.source().begin.column, e.description());
	} catch (const std::exception &e) {
		fail(error, 1, 1, e.what());
	} catch (...) {
		fail(error, 1, 1, "it cannot be read");
	}
	return 0;
}
