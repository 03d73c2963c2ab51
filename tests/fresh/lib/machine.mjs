// SPDX-License-Identifier: Apache-2.0
/*
 * A Debian as debootstrap --variant=minbase leaves it, as a machine of its own in memory: a root file system and
 * processes; the network is this machine's, since packages are fetched. Mounts need root, and are gone with the
 * mount namespace of the tests (./dev check fresh).
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { root } from "../../system/lib/stage.mjs";

if (!process.env.FARO_TEST_NAMESPACE) throw new Error("mounts have to be the test's own: run it by ./dev check fresh");

/* $0 the root, $1 who; the rest is run inside, in a process namespace whose PID 1 this is. */
const ENTER = `
mount -t proc proc "$0/proc"
who=$1
shift
exec chroot --userspec="$who" "$0" "$@"
`;

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* Where this machine gets Debian's packages, as tests/image/roots finds it. */
function mirror() {
	const [, codename] = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync("/etc/os-release", "utf8"));
	const targets = execFileSync("apt-get", ["indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"],
		{ encoding: "utf8" });
	return new RegExp(`^${codename} (.*)$`, "m").exec(targets)[1];
}

export class Machine {
	constructor(stage, suite) {
		this.stage = stage;
		const dir = stage.path(suite);
		this.dir = join(dir, "root");
		mkdirSync(dir);
		execFileSync("mount", ["-t", "tmpfs", "tmpfs", dir]);
		stage.after(() => execFileSync("umount", ["-R", "--lazy", dir]));
		for (const name of ["upper", "work", "root"]) mkdirSync(join(dir, name));
		const lower = join(root, ".build/roots", suite);
		execFileSync("mount", ["-t", "overlay", "overlay",
			"-o", `lowerdir=${lower},upperdir=${dir}/upper,workdir=${dir}/work`, this.dir]);
		execFileSync("mount", ["--rbind", "/dev", join(this.dir, "dev")]);
		this.#connect(suite);
	}

	/* The way out of this machine is its own, too: name servers, the mirror and its proxy, certificates. */
	#connect(suite) {
		for (const file of ["/etc/hosts", "/etc/resolv.conf"]) cpSync(file, join(this.dir, file), { dereference: true });
		const authorities = "/usr/local/share/ca-certificates";
		if (existsSync(authorities)) cpSync(authorities, join(this.dir, authorities), { recursive: true });
		this.write("/etc/apt/sources.list", `deb ${mirror()} ${suite} main\n`);
		this.write("/etc/apt/apt.conf.d/99machine", execFileSync("apt-config", ["dump", "Acquire"]));
	}

	write(path, text) {
		writeFileSync(join(this.dir, path), text);
	}

	#inside(who, command) {
		return ["setsid", ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-e", "-c", ENTER, this.dir, who, ...command]];
	}

	/* In a session of its own, so that a signal to its process group is what Ctrl-C sends. */
	run(name, command, { who = "0:0", home = "/root" } = {}) {
		return this.stage.run(name, ...this.#inside(who, command), { env: { PATH, HOME: home, LANG: "C.UTF-8" } });
	}

	async finish(name, command) {
		const process = this.run(name, command);
		const { code } = await process.closed;
		if (code !== 0) throw new Error(`${name}: ${process.stdout}${process.stderr}`);
		return process.stdout.toString();
	}

	async installedMiB() {
		const sizes = await this.finish("dpkg-query", ["dpkg-query", "-W", "-f", "${Installed-Size}\\n"]);
		return sizes.trim().split("\n").reduce((sum, size) => sum + Number(size), 0) / 1024;
	}
}
