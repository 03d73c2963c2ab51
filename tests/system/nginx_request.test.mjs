// SPDX-License-Identifier: Apache-2.0
/*
 * What nginx tells the responder about a request: faro-request.conf as it is, with its lines switched on, and the example
 * with real_ip, Debian's module geoip2, a database made here, and the map of crawlers. A fake responder stands behind.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { post } from "./lib/client.mjs";
import { fakeResponder } from "./lib/fastcgi.mjs";
import { makeDirectory, nginx, replace, snippet } from "./lib/nginx.mjs";
import { startExample, writeExample } from "./lib/request_example.mjs";
import { freePort, scenario } from "./lib/stage.mjs";
import { makeImage, render, startImage } from "./lib/templates.mjs";

const CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
const HEADLESS = replace(CHROME, " Chrome/", " HeadlessChrome/");
const CRAWLER = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)";

/* The parameters of a request that are ours, or the client's address. */
const told = ({ params }) => Object.fromEntries(
	Object.entries(params).filter(([name]) => /^(FARO_(?!ENDPOINT)|REMOTE_ADDR)/.test(name)));

/* asks(headers) → what the responder is told of a request with these headers. */
async function behind(stage, start, socket = stage.path("faro.sock")) {
	const responder = await fakeResponder(stage, socket);
	const server = await start(socket);
	return async (headers) => {
		assert.equal((await post(server.port, "{}", headers)).status, 202);
		return told(responder.requests.at(-1));
	};
}

scenario("faro-request.conf tells nothing as it stands, and a client cannot tell it by headers", async (stage) => {
	const ask = await behind(stage, (socket) => nginx(stage, { socket }));
	assert.deepEqual(await ask({
		"User-Agent": CRAWLER, FARO_IGNORE: "1", "Faro-Ignore": "1", FARO_ATTR_GEO_COUNTRY_ISO_CODE: "XX", "X-Forwarded-For": "192.0.2.1",
	}), { REMOTE_ADDR: "127.0.0.1" });
});

const switchedOn = () => snippet("faro-request.conf").replace(/^# (?=fastcgi_param )/gm, "");

scenario("each line of faro-request.conf can be switched on", async (stage) => {
	const ask = await behind(stage, (socket) => nginx(stage, {
		socket,
		http: `${snippet("faro-crawlers.conf")}\ngeo $geoip2_data_country_code { default ""; 127.0.0.1 GB; }`,
		edit: (name, text) => (name === "faro-request.conf" ? switchedOn() : text),
	}));
	const says = async (agent) => {
		const { FARO_ATTR_USER_AGENT_SYNTHETIC_TYPE: type, FARO_IGNORE: reason, ...others } = await ask({ "User-Agent": agent });
		assert.deepEqual(others, { REMOTE_ADDR: "127.0.0.1", FARO_ATTR_GEO_COUNTRY_ISO_CODE: "GB" });
		return [type, reason];
	};
	assert.deepEqual(await says(CHROME), ["", ""]);
	assert.deepEqual(await says(HEADLESS), ["test", "synthetic"]);
	assert.deepEqual(await says(CRAWLER), ["bot", "crawler"]);
	assert.deepEqual(await says("FARO_IGNORE"), ["", ""]);
});

scenario("templates: an image that has faro-request.conf tells the same", async (stage) => {
	const ask = await behind(stage, (socket) => {
		const dir = makeImage(stage);
		const location = join(dir, "templates/faro/location.conf.template");
		writeFileSync(location, replace(readFileSync(location, "utf8"), "/etc/nginx/faro/", `${dir}/faro/`));
		writeFileSync(join(dir, "faro/faro-request.conf"), "fastcgi_param FARO_ATTR_GEO_COUNTRY_ISO_CODE NZ;\n");
		render(dir, { FARO_SOCKET: socket });
		return startImage(stage, dir);
	});
	assert.deepEqual(await ask({}), { REMOTE_ADDR: "127.0.0.1", FARO_ATTR_GEO_COUNTRY_ISO_CODE: "NZ" });
});

/* --- the example ------------------------------------------------------------------------------------- */

scenario("nginx -t takes the example with Debian's module", async (stage) => {
	const dir = makeDirectory(stage, "example");
	/* It binds them, which below 1024 is root's right. */
	const [port, statusPort] = [await freePort(), await freePort()];
	writeFileSync(join(dir, "nginx.conf"), writeExample(dir, { socket: stage.path("faro.sock"), port, statusPort }));
	const { code, stderr } = await stage.finish("nginx -t", "nginx", ["-t", "-p", dir, "-c", join(dir, "nginx.conf"), "-e", "stderr"]);
	assert.equal(code, 0, stderr);
	assert.doesNotMatch(stderr, /\[(warn|error|emerg)\]/);
});

scenario("the example tells the client's address as the proxies have it, and its country", async (stage) => {
	const ask = await behind(stage, (socket) => startExample(stage, socket));
	for (const [forwarded, address, country, continent] of [
		["81.2.69.142", "81.2.69.142", "GB", "EU"],
		["2001:db8:1::5", "2001:db8:1::5", "DE", "EU"],
		["89.160.20.113", "89.160.20.113", "", "EU"],
		["203.0.113.9", "203.0.113.9", "", ""],
		/* What the client itself wrote stands before what the proxy has added. */
		["2001:db8:1::5, 81.2.69.142", "81.2.69.142", "GB", "EU"],
		["not an address", "127.0.0.1", "", ""],
	]) {
		const told = await ask({ "X-Forwarded-For": forwarded, "User-Agent": CHROME });
		assert.deepEqual(told, {
			REMOTE_ADDR: address, FARO_IGNORE: "", FARO_ATTR_GEO_COUNTRY_ISO_CODE: country, FARO_ATTR_GEO_CONTINENT_CODE: continent,
			FARO_ATTR_USER_AGENT_SYNTHETIC_TYPE: "",
		}, forwarded);
	}
});

scenario("the example ignores a beacon for the first of its reasons, and marks what is synthetic", async (stage) => {
	const ask = await behind(stage, (socket) => startExample(stage, socket));
	const says = async (headers) => {
		const { FARO_IGNORE: reason, FARO_ATTR_USER_AGENT_SYNTHETIC_TYPE: type } = await ask({ "User-Agent": CHROME, ...headers });
		return `${reason} ${type}`;
	};
	assert.equal(await says({ "X-Forwarded-For": "192.0.2.77", "User-Agent": CRAWLER }), "address bot");
	assert.equal(await says({ "User-Agent": CRAWLER }), "crawler bot");
	assert.equal(await says({ "User-Agent": HEADLESS }), " test");
	for (const agent of ["kube-probe/1.33", "GoogleHC/1.0"]) assert.equal(await says({ "User-Agent": agent }), "health ");
	assert.equal(await says({ "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko" }), "legacy_browser ");
	for (const origin of ["http://localhost:3000", "https://shop.localhost", "http://127.0.0.1:80", "http://[::1]:8080"])
		assert.equal(await says({ Origin: origin }), "localhost ", origin);
	for (const origin of ["https://shop.example", "https://localhost.example", "https://127.example", "null", "localhost"])
		assert.equal(await says({ Origin: origin }), " ", origin);
});

scenario("a country in a header is believed only if it comes from a proxy", async (stage) => {
	for (const [proxy, country] of [["127.0.0.1/32", "FR"], ["10.0.0.0/8", ""]]) {
		const edit = (text, dir) => {
			const request = join(dir, "faro-request.conf");
			writeFileSync(request, replace(readFileSync(request, "utf8"), "$geoip2_data_country_code", "$faro_country"));
			return replace(text, "127.0.0.1/32 yes;", `${proxy} yes;`);
		};
		const name = `example-${proxy.split("/")[1]}`;
		const ask = await behind(stage, (socket) => startExample(stage, socket, { name, edit }), stage.path(`${name}.sock`));
		for (const [header, expected] of [["FR", country], ["fr", ""], ["FR, DE", ""], ["", ""]])
			assert.equal((await ask({ "CF-IPCountry": header })).FARO_ATTR_GEO_COUNTRY_ISO_CODE, expected, `${proxy} ${header}`);
	}
});
