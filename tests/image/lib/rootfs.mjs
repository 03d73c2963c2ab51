// SPDX-License-Identifier: Apache-2.0
/*
 * A root file system as a container has it: read-only but for a volume at /run/faro-ingest, with the two
 * files that Kubernetes writes, and nobody's user id. Mounts need root; the tests run in a mount and a
 * network of their own (./dev check static image), so that nothing of the machine's is touched.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ingestEnv } from "../../system/lib/faro.mjs";

if (!process.env.FARO_TEST_NAMESPACE)
	throw new Error("mounts and port 53 have to be the test's own: run it by ./dev check static image");

export const VOLUME = "/run/faro-ingest";

function mount(stage, point, ...args) {
	execFileSync("mount", [...args, point]);
	/* The program is still running in there; lazily it is gone from this tree at once. */
	stage.after(() => execFileSync("umount", ["--lazy", point]));
}

/* What `dir` holds, seen read-only below the stage. files: path → text, mounted over what is there. */
export function open(stage, dir, files = {}) {
	const point = stage.path("root");
	mkdirSync(point);
	mkdirSync(join(dir, VOLUME), { recursive: true }); // as the container's runtime does
	mount(stage, point, "--bind", dir);
	execFileSync("mount", ["-o", "remount,bind,ro", point]);
	mount(stage, join(point, VOLUME), "-t", "tmpfs", "-o", "mode=1777", "tmpfs");
	for (const [path, text] of Object.entries(files)) {
		const mine = stage.path(path.replaceAll("/", "_"));
		writeFileSync(mine, text);
		mount(stage, join(point, path), "--bind", mine);
	}
	return {
		inside: (command, args, options) =>
			["chroot", ["--userspec=65534:65534", point, command, ...args], options],
		volume: join(point, VOLUME),
	};
}

/* Nothing but the places where something is mounted. */
export function emptyRoot(stage, places) {
	const dir = stage.path("empty");
	mkdirSync(dir);
	for (const place of places) {
		mkdirSync(join(dir, place, ".."), { recursive: true });
		writeFileSync(join(dir, place), "");
	}
	return dir;
}

/* The program lies in the volume, as nothing else can be written. */
export function install(opened, binary) {
	copyFileSync(binary, join(opened.volume, "program"));
	return `${VOLUME}/program`;
}

export async function serve(stage, opened, command, upstreamUrl, { args, env } = {}) {
	const process = stage.run(`${command} in a root of its own`, ...opened.inside(command,
		args ?? ["--listen", `unix:${VOLUME}/faro.sock`, "--listen-mode", "0666"],
		{ env: ingestEnv(upstreamUrl, env) }));
	await process.line(/event=started/);
	return { process, socket: join(opened.volume, "faro.sock") };
}
