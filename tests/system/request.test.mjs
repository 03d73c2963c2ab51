// SPDX-License-Identifier: Apache-2.0
/* What nginx knows about a request: stamped, forwarded, or a reason to leave it out; and no word of a client's. */
import assert from "node:assert/strict";

import { eventually, sendOne, status } from "./lib/beacons.mjs";
import { get, post } from "./lib/client.mjs";
import { beaconParams, parseCgi } from "./lib/fastcgi.mjs";
import { runCgi, runIngest, startIngest } from "./lib/faro.mjs";
import { nginx, replace } from "./lib/nginx.mjs";
import { receiver } from "./lib/receiver.mjs";
import { scenario } from "./lib/stage.mjs";

const SPANS = `"traces":{"resourceSpans":[{"resource":{"attributes":[
	{"key":"client.address","value":{"stringValue":"203.0.113.9"}},
	{"key":"client_address","value":{"stringValue":"203.0.113.9"}},
	{"key":"geo.country\\u002eiso_code","value":{"stringValue":"XX"}},
	{"key":"browser.platform","value":{"stringValue":"Linux"}}]},
	"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331"}]}]}]}`;

/* Forged in every place where a query would find it. */
const forged = (overrides) => Buffer.from(`{"meta":{"app":{"name":"shop"},"geo":{"countryIso":"XX"},"session":{"id":"s1",
	"attributes":{"client_address":"203.0.113.9","client.address":"203.0.113.9","geo country=iso_code":"XX",
	"geo_country_iso_code\\u00a0":"XX","plan":"gold"}${overrides ? `,"overrides":${overrides}` : ""}}},
	"measurements":[{"type":"t","values":{"session_attr_client_address":1,"lcp":2}}],${SPANS}}`);
const OPTED_OUT = '{"geoLocationTrackingEnabled":false}';

const ALL = {
	FARO_REQUEST_ATTRIBUTES: "geo.country.iso_code,user_agent.synthetic.type",
	FARO_CLIENT_ADDRESS: "masked", FARO_FORWARD_CLIENT_ADDRESS: "full",
};

/* As an operator's nginx has it, with what a map makes of the request. The test's own header stands for a
 * variable of a module. */
const PARAMS = `
	fastcgi_param FARO_ATTR_GEO_COUNTRY_ISO_CODE $test_country;
	fastcgi_param FARO_ATTR_USER_AGENT_SYNTHETIC_TYPE $test_synthetic;
	fastcgi_param FARO_IGNORE $test_ignore;
	fastcgi_param HTTP_TRACEPARENT  `;
const MAPS = `
	map $http_x_test_country $test_country { default DE; ~. $http_x_test_country; }
	map $http_x_test_address $test_address { default $remote_addr; ~. $http_x_test_address; }
	map $http_user_agent $test_synthetic { default ""; ~Lighthouse test; }
	map $http_user_agent $test_ignore { default 0; ~*crawler crawler; ~*kube-probe probe; }
`;

const start = (stage, { socket }) => nginx(stage, {
	socket, http: MAPS,
	edit: (name, text) => (name === "faro-location.conf"
		? replace(replace(text, "\n\tfastcgi_param HTTP_TRACEPARENT  ", PARAMS), " $remote_addr;", " $test_address;") : text),
});

/* What a reader of the labelled body finds of it. */
function read(body) {
	const { meta, measurements, traces } = JSON.parse(body);
	const resource = traces.resourceSpans[0].resource.attributes
		.filter(({ key }) => /^(client|geo|user_agent|browser)/.test(key)).map(({ key, value }) => [key, value.stringValue]);
	return { attributes: meta.session.attributes, resource: Object.fromEntries(resource), geo: meta.geo, values: measurements[0].values };
}

scenario("behind nginx: its word is stamped and forwarded, and the browser's is gone", async (stage) => {
	const behind = await receiver(stage);
	const { socket } = await startIngest(stage, behind.url, { env: ALL });
	const server = await start(stage, { socket });
	const reply = await post(server.port, forged(), {
		"User-Agent": "Chrome-Lighthouse", "X-Forwarded-For": "203.0.113.9", "Remote-Addr": "203.0.113.9",
		REMOTE_ADDR: "203.0.113.9", FARO_ATTR_GEO_COUNTRY_ISO_CODE: "XX", "Faro-Attr-Geo-Country-Iso-Code": "XX",
	});
	assert.equal(reply.status, 202, reply.text);
	assert.deepEqual(read(behind.last.body), {
		attributes: { plan: "gold", geo_country_iso_code: "DE", user_agent_synthetic_type: "test", client_address: "127.0.0.0" },
		resource: {
			"browser.platform": "Linux", "geo.country.iso_code": "DE", "user_agent.synthetic.type": "test",
			"client.address": "127.0.0.0",
		},
		geo: undefined, values: { lcp: 2 },
	});
	assert.deepEqual(behind.last.rawHeaders.filter((word) => /forwarded/i.test(word)), ["X-Forwarded-For"]);
	assert.equal(behind.last.headers["x-forwarded-for"], "127.0.0.1");
	assert.doesNotMatch(behind.last.body.toString(), /203\.0\.113\.9|XX/);
});

scenario("a page that has opted out: neither a location nor an address, stamped or forwarded", async (stage) => {
	const behind = await receiver(stage);
	const { socket } = await startIngest(stage, behind.url, { env: ALL });
	const server = await start(stage, { socket });
	const reply = await post(server.port, forged(OPTED_OUT), { "User-Agent": "Chrome-Lighthouse" });
	assert.equal(reply.status, 202, reply.text);
	const { attributes, resource } = read(behind.last.body);
	assert.deepEqual(attributes, { plan: "gold", user_agent_synthetic_type: "test" });
	assert.deepEqual(resource, { "browser.platform": "Linux", "user_agent.synthetic.type": "test" });
	assert.equal(behind.last.headers["x-forwarded-for"], undefined);
	assert.doesNotMatch(behind.last.body.toString(), /203\.0\.113\.9|XX|127\.0\.0/);
});

scenario("no values: what the browser claims goes all the same, and nothing is stamped", async (stage) => {
	const behind = await receiver(stage);
	const { socket } = await startIngest(stage, behind.url, { env: ALL });
	assert.equal((await sendOne(socket, forged())).status, 202);
	assert.deepEqual(read(behind.last.body), {
		attributes: { plan: "gold" }, resource: { "browser.platform": "Linux" }, geo: undefined, values: { lcp: 2 },
	});
	assert.equal(behind.last.headers["x-forwarded-for"], undefined);
	/* Four session attributes, three of the resource, a value, and meta.geo. */
	assert.equal((await status(socket))("spoofed_total"), 9);
});

scenario("values that are no good are not stamped, quotes are escaped, and no value is a metric's", async (stage) => {
	const behind = await receiver(stage);
	const { socket } = await startIngest(stage, behind.url, { env: ALL });
	for (const [value, stamped] of [
		["D\u0007E", undefined], ["a\nb", undefined],
		["x".repeat(255), "x".repeat(255)], ["x".repeat(256), undefined], ['"},"evil":"\\', '"},"evil":"\\'], ["é", "é"],
	]) {
		const { status: code } = await sendOne(socket, forged(), { FARO_ATTR_GEO_COUNTRY_ISO_CODE: value, REMOTE_ADDR: "unix:" });
		assert.equal(code, 202);
		const { attributes, resource } = read(behind.last.body);
		assert.equal(attributes.geo_country_iso_code, stamped, JSON.stringify(value));
		assert.equal(resource["geo.country.iso_code"], stamped);
		assert.equal(attributes.client_address, undefined);
		assert.equal(attributes.evil, undefined);
	}
	/* A byte that is no UTF-8. */
	const server = await start(stage, { socket });
	assert.equal((await post(server.port, forged(), { "X-Test-Country": "D\u00ff" })).status, 202);
	assert.deepEqual(read(behind.last.body).attributes, { plan: "gold", client_address: "127.0.0.0" });
	const page = await sendOne(socket, Buffer.alloc(0), { FARO_ENDPOINT: "metrics", REQUEST_METHOD: "GET" });
	assert.doesNotMatch(page.text, /evil|xxx|é/);
});

scenario("headers as long as nginx takes them take nothing away of what it says", async (stage) => {
	const behind = await receiver(stage);
	const { socket } = await startIngest(stage, behind.url, { env: ALL });
	const server = await start(stage, { socket });
	for (const address of ["2001:DB8:1:2::7", "::ffff:198.51.100.7"]) {
		const headers = { "X-Test-Address": address, Origin: `http://127.0.0.1:${server.port}` };
		for (const name of ["Traceparent", "X-Faro-Session-Id", "Idempotency-Key"]) headers[name] = "k".repeat(7000);
		assert.equal((await post(server.port, forged(), headers)).status, 202);
		const { attributes } = read(behind.last.body);
		assert.equal(attributes.geo_country_iso_code, "DE");
		assert.equal(attributes.client_address, address.startsWith("2001") ? "2001:db8:1::" : "198.51.100.0");
	}
});

scenario("FARO_IGNORE: 202 by policy, and nothing reaches the receiver", async (stage) => {
	const behind = await receiver(stage);
	const { socket } = await startIngest(stage, behind.url);
	const server = await start(stage, { socket });
	for (const agent of ["Some-Crawler/1.0", "kube-probe/1.30"]) {
		const reply = await post(server.port, "no JSON", { "User-Agent": agent, "Content-Encoding": "gzip" });
		assert.equal(`${reply.status} ${reply.text}`, "202 ok");
	}
	assert.equal((await post(server.port, "[]", { "User-Agent": "crawler", "Sec-Fetch-Site": "cross-site" })).status, 403);
	assert.equal((await post(server.port, "[]", { "User-Agent": "crawler" }, { path: "/faro/other" })).status, 404);
	assert.equal((await post(server.port, forged(), { "User-Agent": "Firefox", "X-Ignore": "1", FARO_IGNORE: "1" })).status, 202);
	assert.equal(behind.requests.length, 1);
	const { text } = await get(server.statusPort, "/metrics");
	assert.match(text, /ignored_total\{reason="crawler"\} 1\n[^]*ignored_total\{reason="other"\} 1\n/);
	assert.match(text, /accepted_total\{by="policy"\} 2\n/);
	assert.doesNotMatch(text, /probe/);
});

scenario("a spooled beacon is replayed with what it was stamped with, and its address", async (stage) => {
	const behind = await receiver(stage);
	behind.status = 503;
	const { socket } = await startIngest(stage, behind.url, { env: { ...ALL, FARO_SPOOL_DIR: stage.path("spool") } });
	const from = (address) => ({ REMOTE_ADDR: address, FARO_ATTR_GEO_COUNTRY_ISO_CODE: "DE" });
	const key = { HTTP_IDEMPOTENCY_KEY: "k1" };
	assert.equal((await sendOne(socket, forged(), { ...from("198.51.100.7"), ...key })).status, 202);
	assert.equal((await sendOne(socket, forged(OPTED_OUT), from("198.51.100.8"))).status, 202);
	/* The same beacon from another address, as a phone sends it that has changed its network, is no other. */
	assert.equal((await sendOne(socket, forged(), { ...from("2001:db8::1"), ...key })).status, 202);
	assert.equal((await status(socket))("duplicates_total"), 1);
	behind.status = 202;
	await eventually("replay", async () => (await status(socket))("spool_replayed_total") === 2);
	const replayed = behind.requests.slice(-2).map(({ headers, body }) => [headers["x-forwarded-for"], read(body).attributes.client_address]);
	assert.deepEqual(replayed.sort(), [["198.51.100.7", "198.51.100.0"], [undefined, undefined]].sort());
});

scenario("as a CGI program, and with --print: from the environment", async (stage) => {
	const behind = await receiver(stage);
	const variables = { REMOTE_ADDR: "198.51.100.7", FARO_ATTR_GEO_COUNTRY_ISO_CODE: "DE" };
	const body = forged();
	const { stdout, stderr } = await runCgi(stage, behind.url, { ...beaconParams(String(body.length)), ...variables }, body, ALL);
	assert.equal(parseCgi(stdout).status, 202);
	assert.equal(stderr.toString(), "");
	const attributes = { plan: "gold", geo_country_iso_code: "DE", client_address: "198.51.100.0" };
	assert.deepEqual(read(behind.last.body).attributes, attributes);
	assert.equal(behind.last.headers["x-forwarded-for"], "198.51.100.7");
	const left = await runCgi(stage, behind.url, { ...beaconParams(String(body.length)), FARO_IGNORE: "crawler" }, body, ALL);
	assert.equal(parseCgi(left.stdout).status, 202);
	assert.equal(behind.requests.length, 1);
	const printed = await runIngest(stage, ["--print"], { env: { OTEL_SERVICE_NAME: "shop", ...ALL, ...variables }, stdin: body });
	assert.equal(printed.stderr.toString(), "");
	assert.deepEqual(read(printed.stdout).attributes, attributes);
});

scenario("settings that cannot be meant are refused at start, each with its reason", async (stage) => {
	for (const [env, said] of [
		[{ FARO_REQUEST_ATTRIBUTES: "k8s.pod.name" }, /FARO_REQUEST_ATTRIBUTES: k8s\.pod\.name is a label of the service/],
		[{ FARO_REQUEST_ATTRIBUTES: "a.b,a_b" }, /a\.b and a_b have the same parameter, FARO_ATTR_A_B: remove one/],
		[{ FARO_REQUEST_ATTRIBUTES: "client.address", FARO_CLIENT_ADDRESS: "full" }, /FARO_CLIENT_ADDRESS stamps client\.address already/],
		[{ FARO_CLIENT_ADDRESS: "hashed" }, /FARO_CLIENT_ADDRESS=hashed: expected off, masked or full/],
		[{ FARO_CLIENT_ADDRESS_MASK: "24" }, /FARO_CLIENT_ADDRESS_MASK=24: expected the bits to keep of IPv4/],
	]) {
		const { code, stderr } = await runIngest(stage, ["--print"], { env: { OTEL_SERVICE_NAME: "shop", ...env }, stdin: "{}" });
		assert.equal(code, 2);
		assert.match(stderr.toString(), said);
	}
});
