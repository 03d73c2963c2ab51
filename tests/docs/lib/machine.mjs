// SPDX-License-Identifier: Apache-2.0
/*
 * A machine of its own for commands that use fixed ports and places: the network has lo alone, /run and nginx's logs are
 * empty, /etc/nginx is a copy, and whatever is started ends with the shell. It takes root, as the commands themselves do;
 * what root makes is in memory, so that a user can remove the rest.
 */
import { mkdirSync, writeFileSync } from "node:fs";

const asRoot = process.getuid() === 0 ? [] : ["sudo"];

const PRELUDE = `
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/log/nginx
mount -t tmpfs -o mode=755 tmpfs /mnt
cp -a /etc/nginx /mnt
mount --bind /mnt/nginx /etc/nginx
umount /mnt
mount --bind "$0/hosts" /etc/hosts
exec bash -e -o pipefail "$0/session"
`;

/* The texts one after another in one shell, which ends at the first that fails. */
export function runHere(stage, name, texts, { cwd, env = {}, hosts = [] } = {}) {
	const dir = stage.path(name);
	mkdirSync(dir, { mode: 0o755 });
	writeFileSync(`${dir}/hosts`, ["localhost", ...hosts].map((host) => `127.0.0.1 ${host}\n`).join(""));
	/* A here document or a comment must not swallow the next line. */
	writeFileSync(`${dir}/session`, texts.map((text) => `${text}\n`).join(""));
	const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
	const [command, ...args] = [...asRoot, "env", ...variables, "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
		"--mount-proc", "bash", "-e", "-c", PRELUDE, dir];
	return stage.run(name, command, args, { cwd });
}
