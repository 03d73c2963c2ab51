// SPDX-License-Identifier: Apache-2.0
/*
 * A Containerfile without an engine: built on a root with this machine's /usr under an overlay and its nginx, and run
 * as PID 1 of a mount and a process namespace, with its user and, if wanted, its root read-only. It takes the
 * instructions that the recipes use, and fails on others. FROM pulls nothing: the caller makes the base's files.
 * Not here: layers, resource limits, seccomp, a network of the container's own.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { isRoot } from "./nginx.mjs";

/* $1 the image's directory, $2 "ro" or "rw", $3 who; the rest is run inside. */
const ENTER = `
set -e
dir=$1 access=$2 who=$3
shift 3
mount --bind "$dir/root" "$dir/root"
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$dir/upper,workdir=$dir/work${isRoot ? "" : ",userxattr"}" "$dir/root/usr"
mount --rbind /dev "$dir/root/dev"
mount -t proc proc "$dir/root/proc"
mount -t tmpfs -o mode=1777 tmp "$dir/root/tmp"
if [ "$access" = ro ]; then
	mount -o remount,ro "$dir/root/usr"
	mount -o remount,bind,ro "$dir/root"
fi
exec chroot $who "$dir/root" "$@"
`;

/* Of this machine, besides /usr. */
const ETC = ["nginx", "passwd", "group", "nsswitch.conf", "ld.so.cache"];
const DIRECTORIES = ["usr", "etc", "dev", "proc", "tmp", "run", "var/lib/nginx", "var/log/nginx"];

export class Image {
	constructor(stage, name) {
		this.stage = stage;
		this.dir = stage.path(name);
		for (const part of ["upper", "work", ...DIRECTORIES.map((name) => join("root", name))])
			mkdirSync(join(this.dir, part), { recursive: true });
		for (const name of ["bin", "sbin", "lib", "lib64"])
			if (existsSync(`/usr/${name}`)) symlinkSync(`usr/${name}`, join(this.dir, "root", name));
		execFileSync("cp", ["-dR", ...ETC.map((file) => `/etc/${file}`), join(this.dir, "root/etc")]);
		this.env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
		this.stopSignal = "SIGTERM";
	}

	/* Where a path of the image lies while nothing is mounted. */
	place(path) {
		const made = join(this.dir, path.replace(/^[/]usr(?=[/])/, "upper").replace(/^[/]/, "root/"));
		mkdirSync(dirname(made), { recursive: true });
		return made;
	}

	write(path, text, mode = 0o644) {
		writeFileSync(this.place(path), text);
		chmodSync(this.place(path), mode);
	}

	#enter(access, command) {
		/* In a namespace of one user there is nobody else to become. */
		const who = this.user && isRoot ? `--userspec=${this.user} --groups=` : "";
		return ["unshare", ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", this.dir, access, who, ...command]];
	}

	#copy(sources, to) {
		for (const from of sources) {
			const isDirectory = statSync(from).isDirectory();
			const target = !isDirectory && to.endsWith("/") ? join(to, basename(from)) : to;
			cpSync(from, this.place(target), { recursive: true });
			if (!isDirectory) chmodSync(this.place(target), statSync(from).mode & 0o777);
		}
	}

	/* `folder` has the Containerfile; `stages` names the directories that COPY --from= takes files of. */
	build(folder, stages) {
		const text = readFileSync(join(folder, "Containerfile"), "utf8").replaceAll("\\\n", " ");
		for (const line of text.split("\n").filter((each) => each && !each.startsWith("#"))) {
			const [, instruction, rest] = /^([A-Z]+) (.*)$/.exec(line);
			this.#instruct(instruction, rest, folder, stages);
		}
	}

	#instruct(instruction, rest, folder, stages) {
		switch (instruction) {
		case "ARG":
		case "FROM":
			return;
		case "ENV": {
			const [name, value] = rest.split(/=(.*)/s);
			this.env[name] = value;
			return;
		}
		case "STOPSIGNAL":
			this.stopSignal = rest;
			return;
		case "ENTRYPOINT":
			this.entryPoint = JSON.parse(rest);
			this.command = undefined;
			return;
		case "CMD":
			this.command = JSON.parse(rest);
			return;
		case "RUN": {
			const line = isRoot ? rest : rest.replace(/ -[og] \d+/g, "");
			const [program, args] = this.#enter("rw", ["sh", "-c", line]);
			execFileSync(program, args, { env: this.env, stdio: ["ignore", "ignore", "inherit"] });
			return;
		}
		case "COPY": {
			const words = rest.split(" ");
			const from = words[0].startsWith("--from=") ? stages[words.shift().slice(7)] : folder;
			const to = words.pop();
			this.#copy(words.map((word) => join(from, word)), to);
			return;
		}
		default:
			throw new Error(`the Containerfile has ${instruction}, which is not known here`);
		}
	}

	/* As `docker run`: a container of its own process numbers, whose PID 1 is `entry` as seen from here. */
	run({ env, command = this.command, readOnly } = {}) {
		const [program, args] = this.#enter(readOnly ? "ro" : "rw", [...this.entryPoint ?? [], ...command]);
		const process = this.stage.run(basename(this.dir), program, args, { env: { ...this.env, ...env } });
		const entry = () => firstChild(process.child.pid);
		/* Where it became another user, unshare's own --kill-child no longer reaches it. */
		this.stage.after(() => {
			if (!process.ended && entry()) globalThis.process.kill(entry(), "SIGKILL");
		});
		return { process, entry };
	}
}

function firstChild(pid) {
	return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")[0]);
}

/* What "make install" puts into the image that the recipes copy from. */
export function installed(stage, binary, snippets) {
	const dir = stage.path("installed");
	if (existsSync(dir)) return dir;
	mkdirSync(join(dir, "usr/sbin"), { recursive: true });
	cpSync(binary, join(dir, "usr/sbin/faro-ingest"));
	cpSync(snippets, join(dir, "usr/share/faro-ingest/nginx"), { recursive: true });
	chmodSync(join(dir, "usr/share/faro-ingest/nginx/15-faro.envsh"), 0o755);
	return dir;
}
