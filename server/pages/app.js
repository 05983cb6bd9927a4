'use strict';
// Shows what /api/v1/releases tells, and asks again every few seconds. Everything from the server goes in as text.

const gates = ['source', 'approval', 'fetch', 'structure', 'scan', 'sign', 'timestamp', 'record', 'publish'];
const looks = {
	passed: ['passed', '✓'], signed: ['passed', '✓'], waiting: ['waiting', '…'], working: ['waiting', '…'],
	rejected: ['bad', '✕'], denied: ['bad', '✕'], expired: ['bad', '✕'], failed: ['bad', '!'],
};
const pageSize = 50;
const opened = new Set();
let older = [];

function element(name, attributes, ...children) {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(attributes))
		made.setAttribute(key, value);
	made.append(...children);
	return made;
}

function light(gate, release) {
	const found = (release.gates || []).find((g) => g.gate === gate);
	const isHere = release.gate === gate && release.state !== 'ended';
	const outcome = found ? found.outcome : isHere ? release.state : 'not reached';
	const [look, sign] = looks[outcome] || ['', '–'];
	const label = `${gate}: ${outcome}${found && found.reason ? '. ' + found.reason : ''}`;
	return element('span', { class: `light ${look}`, role: 'img', 'aria-label': label, title: label }, sign);
}

function facts(release) {
	const list = element('dl', {});
	for (const gate of release.gates || [])
		list.append(element('dt', {}, gate.gate), element('dd', {}, gate.reason || gate.outcome));
	if (release.reason)
		list.append(element('dt', {}, release.outcome || release.state), element('dd', {}, release.reason));
	list.append(element('dt', {}, 'tag object'), element('dd', {}, element('code', {}, release.tag_object || '')));
	return list;
}

function files(release) {
	const base = `/api/v1/releases/${encodeURIComponent(release.id)}`;
	const list = element('ul', {});
	for (const file of release.outcome === 'signed' ? release.artifacts || [] : [])
		list.append(element('li', {},
			element('a', { href: `${base}/artifacts/${encodeURIComponent(file.name)}`, download: '' }, file.name),
			` ${Number(file.size).toLocaleString()} bytes `, element('code', {}, file.sha256 || '')));
	if (release.state === 'ended')
		list.append(element('li', {}, element('a', { href: `${base}/record` }, 'record')));
	return list;
}

function rows(release) {
	const word = release.outcome || release.state || '';
	const isOpen = opened.has(release.id);
	const created = release.created ? new Date(release.created).toLocaleString() : '';
	const button = element('button', { class: 'open', type: 'button', 'aria-expanded': String(isOpen), 'data-id': release.id },
		`${release.project} ${release.tag}`);
	const row = element('tr', {},
		element('th', { scope: 'row' }, button, element('time', { class: 'when', datetime: release.created || '' }, created)),
		element('td', {}, element('span', { class: `word ${(looks[word] || [''])[0]}` }, word)),
		...gates.map((gate) => element('td', { class: 'gate' }, light(gate, release))));
	const detail = element('tr', { class: 'detail' },
		element('td', { colspan: String(gates.length + 2) }, facts(release), files(release)));
	detail.hidden = !isOpen;
	button.addEventListener('click', () => {
		detail.hidden = !detail.hidden;
		button.setAttribute('aria-expanded', String(!detail.hidden));
		if (detail.hidden)
			opened.delete(release.id);
		else
			opened.add(release.id);
	});
	return [row, detail];
}

async function ask(address) {
	const answer = await fetch(address, { headers: { Accept: 'application/json' } });
	const body = await answer.json();
	if (!answer.ok && body.detail)
		throw new Error(body.detail);
	return body;
}

async function releasesBefore(id) {
	const values = new URLSearchParams({ limit: String(pageSize) });
	for (const [key, value] of new FormData(document.getElementById('filter')))
		if (value.trim() !== '')
			values.set(key, value.trim());
	if (id)
		values.set('before', id);
	return (await ask(`/api/v1/releases?${values}`)).releases || [];
}

function show(releases, areMore) {
	const body = document.getElementById('releases');
	const focused = body.contains(document.activeElement) ? document.activeElement.dataset.id : undefined;
	body.replaceChildren(...releases.flatMap(rows));
	document.getElementById('empty').hidden = releases.length > 0;
	document.getElementById('more').hidden = !areMore;
	for (const button of focused === undefined ? [] : body.querySelectorAll('button.open'))
		if (button.dataset.id === focused)
			button.focus();
}

function say(text) {
	const health = document.getElementById('health');
	if (health.textContent !== text)
		health.textContent = text;
}

async function refresh() {
	try {
		const first = await releasesBefore();
		const seen = new Set(first.map((r) => r.id));
		older = older.filter((r) => !seen.has(r.id));
		show([...first, ...older], first.length === pageSize);
		const health = await ask('/healthz');
		say(health.status === 'ok' ? 'all is well' : String(health.text || health.status));
	} catch (error) {
		say(`no answer: ${error.message}`);
	}
}

async function more() {
	const first = await releasesBefore();
	const all = [...first, ...older];
	const next = await releasesBefore(all[all.length - 1].id);
	older = [...older, ...next];
	show([...first, ...older], next.length === pageSize);
}

for (const gate of gates)
	document.getElementById('head').append(element('th', { scope: 'col', class: 'gate' }, gate));
document.getElementById('filter').addEventListener('input', () => {
	older = [];
	refresh();
});
document.getElementById('filter').addEventListener('submit', (event) => event.preventDefault());
document.getElementById('more').addEventListener('click', () => more().catch((error) => say(error.message)));
refresh();
setInterval(() => {
	if (!document.hidden)
		refresh();
}, 5000);
