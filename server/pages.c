/* The dashboard: static files in server/pages/, built into the program. They show what the API tells, and can change nothing. */
#include <string.h>

#include "server/listen.h"

#define PAGE(name, file)                                                                                               \
	__asm__(".pushsection .rodata\n.global " #name "\n.global " #name "_end\n" #name ":\n.incbin \"" PAGES_DIR     \
		"/" file "\"\n" #name "_end:\n.byte 0\n.popsection\n");                                                \
	extern const char name[], name##_end[]

PAGE(page_index, "index.html");
PAGE(page_style, "style.css");
PAGE(page_script, "app.js");

static const struct {
	const char *path, *type, *begin, *end;
} pages[] = {
	{ "/", "text/html; charset=utf-8", page_index, page_index_end },
	{ "/style.css", "text/css; charset=utf-8", page_style, page_style_end },
	{ "/app.js", "text/javascript; charset=utf-8", page_script, page_script_end },
};

void page_serve(struct listen *l, struct http_request *request, const char *rest)
{
	(void)l;
	(void)rest;
	for (guint i = 0; i < G_N_ELEMENTS(pages); i++)
		if (strcmp(request->head->path, pages[i].path) == 0) {
			g_autoptr(GBytes) bytes = g_bytes_new_static(pages[i].begin, pages[i].end - pages[i].begin);
			http_answer(request, 200, pages[i].type, NULL, bytes);
			return;
		}
}
