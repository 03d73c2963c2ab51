// SPDX-License-Identifier: Apache-2.0
// faro-sink on its own: its answers, what it prints, counts and saves, and how it ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = fileURLToPath(new URL('../..', import.meta.url));
const binary = process.env.FARO_SINK ?? join(root, '.build/src/faro-sink');
const beacon = JSON.stringify({ logs: [{ message: 'hello' }], events: [{ name: 'e' }] });

// Starts a sink on a free port; `stop` ends it and returns all that it wrote.
async function startSink(t, ...options) {
	const child = spawn(binary, ['--listen', '0', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
	const closed = once(child, 'close');
	const written = { stdout: '', stderr: '' };
	child.stdout.on('data', (data) => (written.stdout += data));
	child.stderr.on('data', (data) => (written.stderr += data));
	t.after(() => child.kill('SIGKILL'));
	const first = await Promise.race([
		once(createInterface({ input: child.stderr }), 'line').then(([line]) => line),
		closed.then(([code]) => assert.fail(`ended with ${code}: ${written.stderr}`)),
	]);
	const match = /^faro-sink: listening on (http:\/\/127\.0\.0\.1:(\d+)\/collect)$/.exec(first);
	assert.ok(match, first);
	return {
		url: match[1],
		port: Number(match[2]),
		stop: async (signal = 'SIGTERM') => {
			child.kill(signal);
			const [code] = await closed;
			return { code, ...written };
		},
	};
}

// One request on a connection of its own, unless an agent is given.
function request(url, { method = 'POST', headers = {}, body = '', agent = false, signal } = {}) {
	return new Promise((resolve, reject) => {
		const outgoing = http.request(url, { method, headers, agent, signal }, (response) => {
			let text = '';
			response.setEncoding('utf8');
			response.on('data', (data) => (text += data));
			response.on('end', () =>
				resolve({ status: response.statusCode, headers: response.headers, text }));
			response.on('error', reject);
		});
		outgoing.on('error', reject);
		outgoing.end(body);
	});
}

async function counts(sink) {
	return JSON.parse((await request(new URL('/-/counts', sink.url), { method: 'GET' })).text);
}

test('routes and answers are the receiver\'s', async (t) => {
	const sink = await startSink(t, '--quiet');
	const gzip = { 'Content-Encoding': 'gzip' };
	const large = JSON.stringify({ logs: [{ message: 'x'.repeat(5 * 1024 * 1024) }] });
	const padded = (size) => `{}${' '.repeat(size - 2)}`;
	const table = [
		// what, path, request, status, text
		['a beacon', '/collect', { body: beacon }, 202, 'ok'],
		['a query does not matter', '/collect?a=b', { body: beacon }, 202, 'ok'],
		['gzip', '/collect', { headers: gzip, body: gzipSync(beacon) }, 202, 'ok'],
		['gzip in two members', '/collect',
			{ headers: gzip, body: Buffer.concat([gzipSync('{"logs":'), gzipSync('[]}')]) }, 202, 'ok'],
		['gzip without its trailer', '/collect',
			{ headers: gzip, body: gzipSync(beacon).subarray(0, -8) }, 202, 'ok'],
		['gzip cut short', '/collect', { headers: gzip, body: gzipSync(beacon).subarray(0, 20) }, 400, /^json: /],
		['not gzip', '/collect', { headers: gzip, body: beacon }, 400, 'failed to decompress gzip body\n'],
		['nothing, as gzip', '/collect', { headers: gzip }, 400, 'failed to decompress gzip body\n'],
		['GZIP is not gzip', '/collect', { headers: { 'Content-Encoding': 'GZIP' }, body: gzipSync(beacon) }, 400, /^json: /],
		['an empty body', '/collect', {}, 400, /^json: /],
		['a wrong type', '/collect', { body: '{"logs":{}}' }, 400, /logs/],
		['at 5 MiB', '/collect', { body: padded(5 * 1024 * 1024) }, 202, 'ok'],
		['above 5 MiB', '/collect', { body: padded(5 * 1024 * 1024 + 1) }, 413, 'Request Entity Too Large\n'],
		['above 5 MiB and bad: JSON comes first', '/collect', { body: large.slice(0, -1) }, 400, /^json: /],
		['above 5 MiB only when inflated', '/collect', { headers: gzip, body: gzipSync(large) }, 202, 'ok'],
		['GET', '/collect', { method: 'GET' }, 405, /./],
		['OPTIONS that is no preflight', '/collect', { method: 'OPTIONS' }, 400, /^json: /],
		['another path', '/other', { body: beacon }, 404, '404 page not found\n'],
		['ready', '/-/ready', { method: 'GET' }, 200, 'ready'],
	];
	for (const [what, path, options, status, text] of table) {
		const answer = await request(new URL(path, sink.url), options);
		assert.equal(answer.status, status, what);
		if (text instanceof RegExp)
			assert.match(answer.text, text, what);
		else
			assert.equal(answer.text, text, what);
	}
	assert.equal((await sink.stop()).stdout, '');
});

test('a preflight is allowed the receiver\'s headers only', async (t) => {
	const sink = await startSink(t);
	const preflight = (headers) =>
		request(sink.url, {
			method: 'OPTIONS',
			headers: { Origin: 'http://a.example', 'Access-Control-Request-Method': 'POST',
				'Access-Control-Request-Headers': headers },
		});
	const allowed = await preflight('content-type,x-faro-session-id');
	assert.equal(allowed.status, 204);
	assert.equal(allowed.headers['access-control-allow-origin'], '*');
	const refused = await preflight('content-type,idempotency-key');
	assert.equal(refused.status, 204);
	assert.equal(refused.headers['access-control-allow-origin'], undefined);
	const post = await request(sink.url, { headers: { Origin: 'http://a.example' }, body: beacon });
	assert.equal(post.headers['access-control-allow-origin'], '*');
});

test('lines are printed before the answer, counted, and reported at the end', async (t) => {
	const sink = await startSink(t);
	await request(sink.url, { body: beacon });
	assert.deepEqual(await counts(sink),
		{ requests: 1, beacons: 1, logs: 1, exceptions: 0, events: 1, measurements: 0, spans: 0 });
	await request(sink.url, { body: '{' });
	assert.equal((await counts(sink)).beacons, 1);
	const { code, stdout, stderr } = await sink.stop('SIGINT');
	assert.equal(code, 0);
	const zero = 'timestamp="0001-01-01 00:00:00 +0000 UTC"';
	assert.equal(stdout, `${zero} kind=log message=hello browser_mobile=false\n` +
		`${zero} kind=event event_name=e browser_mobile=false\n`);
	assert.equal(stderr.split('\n')[1], 'faro-sink: 1 beacons, 2 items');
	assert.equal(stderr.split('\n').length, 3);
});

test('lines of beacons that come at once are not interleaved', async (t) => {
	const sink = await startSink(t, '--threads', '4');
	const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
	t.after(() => agent.destroy());
	const pair = (i) => ({ logs: [0, 1, 2].map((n) => ({ message: `${i}-${n}-${'x'.repeat(5000)}` })) });
	await Promise.all(Array.from({ length: 200 }, (_, i) =>
		request(sink.url, { agent, body: JSON.stringify(pair(i)) })));
	const lines = (await sink.stop()).stdout.trimEnd().split('\n');
	assert.equal(lines.length, 600);
	for (let i = 0; i < 600; i += 3) {
		const [, name] = / message=(\d+)-0-/.exec(lines[i]);
		assert.ok(lines[i + 1].includes(` message=${name}-1-`));
		assert.ok(lines[i + 2].includes(` message=${name}-2-`));
	}
});

test('--api-key: 401 after JSON, before the size', async (t) => {
	const sink = await startSink(t, '--api-key', 'secret', '--quiet');
	const send = async (key, body) =>
		(await request(sink.url, { headers: key ? { 'X-API-Key': key } : {}, body })).status;
	assert.equal(await send(undefined, beacon), 401);
	assert.equal(await send('secre', beacon), 401);
	assert.equal(await send('secret', beacon), 202);
	assert.equal(await send(undefined, '{'), 400);
	assert.equal(await send(undefined, `{}${' '.repeat(5 * 1024 * 1024)}`), 401);
});

test('--rate: 429 without Retry-After once twice the rate is used up', async (t) => {
	const sink = await startSink(t, '--rate', '1', '--quiet');
	const statuses = [];
	for (let i = 0; i < 20; i++) {
		const answer = await request(sink.url, { body: beacon });
		assert.equal(answer.headers['retry-after'], undefined);
		statuses.push(answer.status);
	}
	assert.deepEqual(statuses.slice(0, 2), [202, 202]);
	assert.ok(statuses.includes(429));
});

test('--status, --retry-after and --session-status', async (t) => {
	const sink = await startSink(t, '--status', '503', '--retry-after', '7', '--session-status', 'invalid');
	const answer = await request(sink.url, { body: beacon });
	assert.equal(answer.status, 503);
	assert.equal(answer.headers['retry-after'], '7');
	assert.equal(answer.headers['x-faro-session-status'], 'invalid');
	const { requests, beacons } = await counts(sink);
	assert.deepEqual({ requests, beacons }, { requests: 1, beacons: 0 });
	assert.equal((await sink.stop()).stdout, '');
	const fine = await startSink(t, '--retry-after', '7');
	assert.equal((await request(fine.url, { body: beacon })).headers['retry-after'], undefined);
});

test('--save keeps decoded bodies and headers as they came', async (t) => {
	const dir = join(await mkdtemp(join(tmpdir(), 'faro-sink-')), 'new');
	t.after(() => rm(join(dir, '..'), { recursive: true }));
	const sink = await startSink(t, '--save', dir, '--quiet');
	const body = ' {"logs":[{"message":"\\u00e9"}], "n": 1e3 }\n';
	await request(sink.url, { headers: { 'Content-Encoding': 'gzip', 'X-Test': 'a b' }, body: gzipSync(body) });
	await request(sink.url, { body: 'not JSON' });
	assert.deepEqual((await readdir(dir)).sort(),
		['000001.headers', '000001.json', '000002.headers', '000002.json']);
	assert.equal(await readFile(join(dir, '000001.json'), 'utf8'), body);
	assert.match(await readFile(join(dir, '000001.headers'), 'utf8'), /^X-Test: a b$/m);
	assert.equal(await readFile(join(dir, '000002.json'), 'utf8'), 'not JSON');
});

test('--delay-ms: beacons wait side by side, are counted at once and answered at the end', async (t) => {
	const sink = await startSink(t, '--delay-ms', '300', '--quiet');
	const start = process.hrtime.bigint();
	assert.equal((await request(sink.url, { body: beacon })).status, 202);
	assert.ok(process.hrtime.bigint() - start >= 299_000_000n);

	const slow = await startSink(t, '--delay-ms', '3600000', '--quiet');
	const pending = Array.from({ length: 50 }, () => request(slow.url, { body: beacon }));
	while ((await counts(slow)).beacons < pending.length)
		;
	const [{ code }, ...answers] = await Promise.all([slow.stop(), ...pending]);
	assert.equal(code, 0);
	assert.ok(answers.every(({ status }) => status === 202));
});

test('--silent: reads, never answers, lets go of clients that hang up, and ends', async (t) => {
	const sink = await startSink(t, '--silent');
	const gaveUp = new AbortController();
	const first = request(sink.url, { body: beacon, signal: gaveUp.signal });
	while ((await counts(sink)).requests === 0)
		;
	gaveUp.abort();
	await assert.rejects(first, { name: 'AbortError' });
	// Half-closed: the sink answers the end of our side by closing its own.
	const socket = net.connect({ port: sink.port, host: '127.0.0.1', allowHalfOpen: true });
	socket.end(`POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`);
	socket.resume();
	await once(socket, 'end');
	const last = request(sink.url, { body: beacon });
	while ((await counts(sink)).requests < 3)
		;
	const [{ code, stdout }] = await Promise.all([sink.stop(), assert.rejects(last)]);
	assert.deepEqual([code, stdout], [0, '']);
});

test('bodies that are cut off do no harm', async (t) => {
	const sink = await startSink(t);
	const socket = net.connect(sink.port, '127.0.0.1');
	socket.write('POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{}', () => socket.destroy());
	await once(socket, 'close');
	assert.equal((await request(sink.url, { body: '['.repeat(1000000) })).status, 400);
	const chunked = await request(sink.url, { headers: { 'Transfer-Encoding': 'chunked' }, body: beacon });
	assert.equal(chunked.status, 202);
	assert.equal((await counts(sink)).beacons, 1);
});

test('bad options end with 2 and say what was expected', async () => {
	const table = [
		[['--status', '99'], /expected a number from 200 to 599/],
		[['--status', '2x'], /expected a number/],
		[['--delay-ms', '-1'], /expected a number/],
		[['--threads', '0'], /expected a number from 1/],
		[['--listen', 'localhost:1'], /numeric address/],
		[['--listen', '70000'], /expected \[ADDRESS:\]PORT/],
		[['--session-status', 'a\nb'], /control characters/],
		[['--no-such'], /--help/],
		[['extra'], /unexpected argument/],
	];
	for (const [options, expected] of table) {
		const child = spawn(binary, options, { stdio: ['ignore', 'ignore', 'pipe'] });
		let stderr = '';
		child.stderr.on('data', (data) => (stderr += data));
		const [code] = await once(child, 'close');
		assert.equal(code, 2, options.join(' '));
		assert.match(stderr, expected);
	}
});

test('--help and --version', async () => {
	for (const [option, expected] of [['--help', /--save DIR/], ['--version', /^faro-sink \d/]]) {
		const child = spawn(binary, [option], { stdio: ['ignore', 'pipe', 'inherit'] });
		let stdout = '';
		child.stdout.on('data', (data) => (stdout += data));
		const [code] = await once(child, 'close');
		assert.equal(code, 0);
		assert.match(stdout, expected);
	}
});

test('a port in use is an error with its reason', async (t) => {
	const sink = await startSink(t);
	const child = spawn(binary, ['--listen', String(sink.port)], { stdio: ['ignore', 'ignore', 'pipe'] });
	let stderr = '';
	child.stderr.on('data', (data) => (stderr += data));
	const [code] = await once(child, 'close');
	assert.equal(code, 1);
	assert.match(stderr, /cannot listen on \d+: Address already in use/);
});
