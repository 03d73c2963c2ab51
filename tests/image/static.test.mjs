// SPDX-License-Identifier: Apache-2.0
/*
 * The self-contained program in root file systems that are not the one it was built in: an empty one, and
 * Debian's of three releases, with a C library older, the same and newer.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { sendOne } from "../system/lib/beacons.mjs";
import { nameServer } from "../system/lib/dns.mjs";
import { beacon, ingestEnv, runIngest, smallBeacon } from "../system/lib/faro.mjs";
import { receiver } from "../system/lib/receiver.mjs";
import { freePort, root, scenario } from "../system/lib/stage.mjs";
import { emptyRoot, install, open, serve, VOLUME } from "./lib/rootfs.mjs";
import { authority, tlsReceiver } from "./lib/tls.mjs";

const architecture = execFileSync("dpkg", ["--print-architecture"]).toString().trim();
const binary = join(root, ".build/static", architecture, "faro-ingest");
const HOSTS = "/etc/hosts", RESOLV = "/etc/resolv.conf";

const ROOTS = {
	"an empty root": (stage) => emptyRoot(stage, [HOSTS, RESOLV]),
	...Object.fromEntries(["bullseye", "bookworm", "trixie"].map(
		(suite) => [suite, () => join(root, ".build/roots", suite)])),
};

async function accepted(socket) {
	const reply = await sendOne(socket, smallBeacon);
	assert.equal(reply?.status, 202, reply?.text);
}

test("no loader, no library, random addresses, at most 10 MiB", (t) => {
	const elf = execFileSync("readelf", ["--wide", "--file-header", "--program-headers", "--dynamic", binary]).toString();
	assert.doesNotMatch(elf, /INTERP|NEEDED/);
	assert.match(elf, /Type: +DYN/);
	assert.match(elf, /GNU_RELRO/);
	assert.match(elf, /GNU_STACK .* 0x0*100000 RW /); // a thread's stack, 128 KiB if nothing were said
	const { size } = statSync(binary);
	t.diagnostic(`${size} bytes`);
	assert.ok(size <= 10 * 1024 * 1024, `${size} bytes`);
});

for (const [name, make] of Object.entries(ROOTS)) {
	scenario(`${name}: --version, and --print writes what the ordinary build writes`, async (stage) => {
		const opened = open(stage, make(stage));
		const program = install(opened, binary);
		const run = (args, stdin) =>
			stage.finish(args[0], ...opened.inside(program, args, { env: ingestEnv(), stdin }));
		const version = await run(["--version"]);
		assert.match(version.stdout.toString(), /^faro-ingest \d/);
		assert.equal(version.code, 0);
		const body = beacon("mixed-with-traces-2.12.json");
		const printed = await run(["--print"], body);
		assert.equal(printed.code, 0, printed.stderr);
		const ordinary = await runIngest(stage, ["--print"], { env: ingestEnv(), stdin: body });
		assert.equal(ordinary.code, 0, ordinary.stderr);
		assert.match(ordinary.stdout.toString(), /"service.namespace"/);
		assert.deepEqual(printed.stdout, ordinary.stdout);
	});

	scenario(`${name}: a beacon reaches a receiver that /etc/hosts names`, async (stage) => {
		const behind = await receiver(stage);
		const opened = open(stage, make(stage), { [HOSTS]: "127.0.0.1 alloy.test\n" });
		const { process, socket } = await serve(stage, opened, install(opened, binary), `http://alloy.test:${behind.port}`);
		await accepted(socket);
		assert.equal(behind.last.headers.host, `alloy.test:${behind.port}`);
		assert.deepEqual(await process.stop(), { code: 0, signal: null });
	});

	scenario(`${name}: a beacon reaches a receiver that a name server knows, by a pod's search list`, async (stage) => {
		const dns = await nameServer(stage, "alloy.retail.svc.cluster.test");
		dns.address = "127.0.0.2";
		const behind = await receiver(stage, { host: "127.0.0.2" });
		const opened = open(stage, make(stage), {
			[HOSTS]: "127.0.0.1 localhost\n",
			[RESOLV]: "search retail.svc.cluster.test svc.cluster.test cluster.test\nnameserver 127.0.0.53\noptions ndots:5\n",
		});
		const { socket } = await serve(stage, opened, install(opened, binary), `http://alloy:${behind.port}`);
		await accepted(socket);
		assert.equal(behind.requests.length, 1);
		assert.ok(dns.queries > 0);
	});
}

scenario("an empty root: the spool keeps a beacon until the receiver is there", async (stage) => {
	const port = await freePort();
	const opened = open(stage, emptyRoot(stage, [HOSTS]), { [HOSTS]: "127.0.0.1 alloy.test\n" });
	const { socket } = await serve(stage, opened, install(opened, binary), `http://alloy.test:${port}`,
		{ env: { FARO_SPOOL_DIR: VOLUME } });
	await accepted(socket);
	const behind = await receiver(stage, { port });
	assert.match((await behind.arrived(1)).body.toString(), /"message":"hello"/);
});

/* → the answer to a beacon for https://alloy.test, and what the log says. */
async function overTls(stage, { trusted, at, env }, options) {
	const mine = authority(stage, "mine");
	const other = authority(stage, "other");
	const behind = await tlsReceiver(stage, mine.vouch("alloy.test"), options);
	const files = { [HOSTS]: "127.0.0.1 alloy.test\n" };
	if (at) files[at] = trusted === "other" ? other.pem : mine.pem;
	const opened = open(stage, emptyRoot(stage, Object.keys(files)), files);
	const { process, socket } = await serve(stage, opened, install(opened, binary),
		`https://alloy.test:${behind.port}`, { env });
	return { reply: await sendOne(socket, smallBeacon), behind, process };
}

for (const version of ["TLSv1.2", "TLSv1.3"]) {
	scenario(`an empty root: https with an authority of one's own, ${version}`, async (stage) => {
		const { reply, behind } = await overTls(stage,
			{ at: "/etc/faro/ca.pem", env: { FARO_UPSTREAM_CA_FILE: "/etc/faro/ca.pem" } },
			{ minVersion: version, maxVersion: version });
		assert.equal(reply?.status, 202, reply?.text);
		assert.deepEqual(behind.protocols, [version]);
		assert.match(behind.bodies[0].toString(), /"name":"shop"/);
	});
}

for (const at of ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]) {
	scenario(`an empty root: https with the authorities of the image, ${at}`, async (stage) => {
		const { reply, behind } = await overTls(stage, { at });
		assert.equal(reply?.status, 202, reply?.text);
		assert.equal(behind.bodies.length, 1);
	});
}

scenario("an empty root: a receiver that another authority vouches for gets nothing", async (stage) => {
	const { reply, behind, process } = await overTls(stage, { at: "/etc/ssl/cert.pem", trusted: "other" });
	assert.equal(reply?.status, 502);
	await process.line(/event=upstream_misconfigured .*certificate is not trusted/);
	assert.equal(behind.bodies.length, 0);
});

scenario("an empty root: https without any authority is warned about, and nothing is sent", async (stage) => {
	const { reply, behind, process } = await overTls(stage, {});
	assert.equal(reply?.status, 502);
	await process.line(/warning: FARO_UPSTREAM_CA_FILE: not set, and this system has no/);
	assert.equal(behind.bodies.length, 0);
});
