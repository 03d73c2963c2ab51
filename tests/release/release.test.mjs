// SPDX-License-Identifier: Apache-2.0
/*
 * ./dev release, really made, twice: the same bytes, the second time with the programs compiled anew. What is in dist/ is
 * then used as somebody would who has nothing else: images and archives of both architectures answer a beacon, arm64
 * under qemu, and the chart renders in a fresh one.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { sendOne } from "../system/lib/beacons.mjs";
import { beacon, ingestEnv, runIngest, smallBeacon } from "../system/lib/faro.mjs";
import { receiver } from "../system/lib/receiver.mjs";
import { root, scenario } from "../system/lib/stage.mjs";

const dist = join(root, "dist");
const dir = mkdtempSync(join(root, ".build/release-"));
const [, VERSION] = /^AC_INIT\(\[faro-ingest\], \[([^\]]+)\]/m.exec(readFileSync(join(root, "configure.ac"), "utf8"));
const NAME = `faro-ingest-${VERSION}`;
const [, CHART] = /^version: (\S+)/m.exec(readFileSync(join(root, "helm/faro-ingest/Chart.yaml"), "utf8"));
/* What runs a program of that architecture on this machine. */
const RUNNERS = { amd64: [], arm64: ["qemu-aarch64"] };
const OWN = execFileSync("dpkg", ["--print-architecture"]).toString().trim();
const runner = (architecture) => (architecture === OWN ? [] : RUNNERS[architecture]);

const release = () => execFileSync("./dev", ["release"], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
const sums = () => readFileSync(join(dist, "SHA256SUMS"), "utf8");
let first;

before(() => {
	release();
	first = sums();
});

after(() => rmSync(dir, { recursive: true, force: true }));

const unpack = (archive, name) => {
	const to = join(dir, name);
	mkdirSync(to, { recursive: true });
	execFileSync("tar", ["-xf", archive, "-C", to]);
	return to;
};

test("dist/ has what a release consists of, and SHA256SUMS is right", () => {
	const expected = [`${NAME}.tar.xz`, `faro-ingest-${CHART}.tgz`, `${NAME}.cdx.json`, "SHA256SUMS",
		...["amd64", "arm64"].flatMap((architecture) => [`${NAME}-linux-${architecture}.tar.gz`, `${NAME}-oci-${architecture}.tar`])];
	assert.deepEqual(readdirSync(dist).sort(), expected.sort());
	const lines = first.trimEnd().split("\n").map((line) => line.split("  "));
	assert.deepEqual(lines.map(([, name]) => name).sort(), expected.filter((name) => name !== "SHA256SUMS").sort());
	for (const [sum, name] of lines)
		assert.equal(createHash("sha256").update(readFileSync(join(dist, name))).digest("hex"), sum, name);
});

test("the bill of materials has every library that is linked, with its version and licence", () => {
	const bom = JSON.parse(readFileSync(join(dist, `${NAME}.cdx.json`), "utf8"));
	assert.deepEqual(bom.components.map(({ name }) => name).sort(), ["cjson", "curl", "libdeflate", "musl", "openssl", "sqlite3", "xxhash"]);
	for (const { name, version, licenses } of bom.components) assert.ok(version && licenses[0].license.id, name);
	assert.equal(bom.metadata.component.version, VERSION);
});

async function answersABeacon(stage, name, command, args, program) {
	const behind = await receiver(stage);
	const socket = stage.path(`${name}.sock`);
	const process = stage.run(name, ...[...command, program, "--listen", `unix:${socket}`, ...args].reduce(
		([first, rest], word, i) => (i ? [first, [...rest, word]] : [word, []]), []), { env: ingestEnv(behind.url) });
	await process.line(/event=started/);
	const reply = await sendOne(socket, smallBeacon);
	assert.equal(reply?.status, 202, reply?.text);
	assert.match(behind.last.body.toString(), /"namespace":"web"/);
	assert.deepEqual(await process.stop(), { code: 0, signal: null });
}

for (const architecture of ["amd64", "arm64"]) {
	scenario(`${architecture}: the archive's program answers a beacon, and labels as the ordinary build does`, async (stage) => {
		const program = join(unpack(join(dist, `${NAME}-linux-${architecture}.tar.gz`), architecture), `${NAME}-linux-${architecture}`, "faro-ingest");
		await answersABeacon(stage, architecture, runner(architecture), [], program);
		const body = beacon("mixed-with-traces-2.12.json");
		const [command, ...args] = [...runner(architecture), program, "--print"];
		const printed = await stage.finish("print", command, args, { env: ingestEnv(), stdin: body });
		const ordinary = await runIngest(stage, ["--print"], { env: ingestEnv(), stdin: body });
		assert.equal(printed.code, 0, printed.stderr);
		assert.match(ordinary.stdout.toString(), /"service.namespace"/);
		assert.deepEqual(printed.stdout, ordinary.stdout);
	});

	scenario(`${architecture}: the image is for it, runs as nobody, and what it starts answers a beacon`, async (stage) => {
		const archive = unpack(join(dist, `${NAME}-oci-${architecture}.tar`), `oci-${architecture}`);
		const blob = ({ digest }) => join(archive, "blobs", digest.replace(":", "/"));
		const json = (descriptor) => JSON.parse(readFileSync(blob(descriptor), "utf8"));
		const manifest = json(JSON.parse(readFileSync(join(archive, "index.json"), "utf8")).manifests[0]);
		const { architecture: made, os, config } = json(manifest.config);
		assert.equal(`${os}/${made}`, `linux/${architecture}`);
		assert.match(config.User, /^[1-9]\d*:[1-9]\d*$/);
		const files = join(dir, `root-${architecture}`);
		for (const layer of manifest.layers) {
			mkdirSync(files, { recursive: true });
			execFileSync("tar", ["-xzf", blob(layer), "-C", files]);
		}
		assert.deepEqual(readdirSync(files).sort(), ["etc", "usr"]);
		await answersABeacon(stage, `image-${architecture}`, runner(architecture), [], join(files, config.Entrypoint[0]));
	});
}

scenario("the chart of dist/ renders in a fresh chart", async (stage) => {
	const chart = stage.path("fresh");
	execFileSync(process.env.FARO_HELM, ["create", chart], { stdio: "ignore" });
	mkdirSync(join(chart, "charts"), { recursive: true });
	execFileSync("cp", [join(dist, `faro-ingest-${CHART}.tgz`), join(chart, "charts/")]);
	const meta = readFileSync(join(chart, "Chart.yaml"), "utf8");
	writeFileSync(join(chart, "Chart.yaml"), `${meta}dependencies: [{name: faro-ingest, alias: faro, version: ^${CHART}, repository: ""}]\n`);
	writeFileSync(join(chart, "templates/faro.yaml"), '{{ include "faro-ingest.v1.manifests" . }}\n');
	const values = ["faro.enabled=true", "faro.serviceName=shop", "faro.collectorUrl=https://collector.example/collect"];
	const rendered = execFileSync(process.env.FARO_HELM, ["template", "fresh", chart, ...values.flatMap((value) => ["--set", value])]).toString();
	assert.match(rendered, /collector\.example/);
});

test("the images go under one name, as the quick start puts them there", () => {
	const storage = ["--storage-driver", "vfs", "--root", join(dir, "storage"), "--runroot", join(dir, "run")];
	const buildah = (...args) => execFileSync("buildah", [...storage, "manifest", ...args], { stdio: ["ignore", "pipe", "inherit"] }).toString();
	buildah("create", "faro");
	for (const architecture of ["amd64", "arm64"]) buildah("add", "faro", `oci-archive:${join(dist, `${NAME}-oci-${architecture}.tar`)}`);
	const { manifests } = JSON.parse(buildah("inspect", "faro"));
	assert.deepEqual(manifests.map(({ platform: { os, architecture } }) => `${os}/${architecture}`), ["linux/amd64", "linux/arm64"]);
});

test("the source does not compile for a big-endian machine, and says why", () => {
	const compile = (order) => execFileSync("gcc", ["-fsyntax-only", "-std=gnu11", "-D_GNU_SOURCE", "-Isrc", "-Wno-builtin-macro-redefined",
		"-U__BYTE_ORDER__", `-D__BYTE_ORDER__=${order}`, "src/beacon/json.c"], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
	compile("__ORDER_LITTLE_ENDIAN__");
	assert.throws(() => compile("__ORDER_BIG_ENDIAN__"), ({ stderr }) => /little-endian/.test(stderr.toString()));
});

test("made again, with the programs compiled anew: the same bytes", () => {
	for (const architecture of ["amd64", "arm64"])
		for (const name of ["program", "image", "faro-ingest"])
			rmSync(join(root, ".build/static", architecture, name), { recursive: true });
	release();
	assert.equal(sums(), first);
});
