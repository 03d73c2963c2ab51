// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration of examples/nginx/request, with the snippets, in a stage's directory. The proxy before this nginx is
 * whoever connects from 127.0.0.1, and its database of countries has three networks.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { writeMmdb } from "./mmdb.mjs";
import { isRoot, makeDirectory, replace, snippet, startNginx } from "./nginx.mjs";
import { root } from "./stage.mjs";

const example = (name) => readFileSync(join(root, "examples/nginx/request", name), "utf8");

const EUROPE = { code: "EU" };
export const NETWORKS = {
	"81.2.69.0/24": { continent: EUROPE, country: { iso_code: "GB" } },
	"2001:db8:1::/48": { continent: EUROPE, country: { iso_code: "DE" } },
	"89.160.20.112/28": { continent: EUROPE },
};

const temporary = (dir) =>
	["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${dir}/temp_${name};`).join(" ");

/* Writes all of it; the text of nginx.conf. */
export function writeExample(dir, { socket, port, statusPort, user = "nobody nogroup", server = `root ${dir}/www;` }) {
	const edits = {
		"nginx.conf": [
			["user www-data;", isRoot ? `user ${user};` : ""], ["/run/nginx.pid", `${dir}/nginx.pid`],
			["/etc/nginx/faro/", `${dir}/`], ["include /etc/nginx/mime.types;", temporary(dir)], ["10.0.0.0/8", "127.0.0.1/32"],
			["/usr/share/GeoIP/GeoLite2-Country.mmdb", `${dir}/countries.mmdb`], ["listen 80;", `listen 127.0.0.1:${port};`],
			["root /var/www/html;", server],
		],
		"faro-request.conf": [],
		"faro-http.conf": [["/run/faro-ingest/faro.sock", socket]],
		"faro-location.conf": [["/etc/nginx/faro/", `${dir}/`]],
		"faro-status.conf": [["127.0.0.1:12348", `127.0.0.1:${statusPort}`]],
		"faro-crawlers.conf": [],
		"faro-inject.conf": [],
		"config.js": [],
	};
	for (const [name, replacements] of Object.entries(edits)) {
		const text = ["nginx.conf", "faro-request.conf"].includes(name) ? example(name) : snippet(name);
		writeFileSync(join(dir, name), replacements.reduce((all, [from, to]) => replace(all, from, to), text));
	}
	writeMmdb(join(dir, "countries.mmdb"), NETWORKS);
	return readFileSync(join(dir, "nginx.conf"), "utf8");
}

/* edit: (text of nginx.conf, directory) → text */
export function startExample(stage, socket, { name = "example", edit = (text) => text, ...options } = {}) {
	const dir = makeDirectory(stage, name);
	return startNginx(stage, dir, (ports) => edit(writeExample(dir, { ...ports, socket, ...options }), dir));
}
