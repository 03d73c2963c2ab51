// SPDX-License-Identifier: Apache-2.0
/*
 * A rendered pod, imitated with real processes: containers are mount namespaces with the rendered volumes
 * at their rendered paths, a read-only root, the rendered command and environment, a user each, no
 * capabilities and no way to new privileges. What runs here has one network of its own, as a pod has.
 *
 * What it does not do: images (the machine's nginx and our build stand in, with an nginx.conf like that of
 * the unprivileged nginx image), pid namespaces, seccomp, CPU limits, probes by themselves.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { ingestBinary } from "../../system/lib/stage.mjs";
import { find } from "./helm.mjs";

const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

/* Directories of an image that are made here, since the machine's are not to be written. */
const OURS = ["/etc/nginx", "/run", "/usr/local/bin", "/usr/share/nginx", "/var/spool"];

/* As the unprivileged image has it: everything that nginx writes is below /tmp. */
const NGINX_CONF = `
worker_processes 2;
error_log stderr notice;
pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
	client_body_temp_path /tmp/client_temp;
	proxy_temp_path /tmp/proxy_temp;
	fastcgi_temp_path /tmp/fastcgi_temp;
	uwsgi_temp_path /tmp/uwsgi_temp;
	scgi_temp_path /tmp/scgi_temp;
	include /etc/nginx/mime.types;
	default_type application/octet-stream;
	access_log off;
	include /etc/nginx/conf.d/*.conf;
}
`;

/* Once in this mount namespace, which is the test's own. The receiver's name is this machine's. */
export function furnish(stage, names = ["alloy"]) {
	const mimeTypes = readFileSync("/etc/nginx/mime.types");
	for (const path of OURS) {
		execFileSync("mount", ["-t", "tmpfs", "-o", "mode=755", "tmpfs", path]);
		stage.after(() => execFileSync("umount", ["-l", path]));
	}
	mkdirSync("/etc/nginx/conf.d");
	writeFileSync("/etc/nginx/mime.types", mimeTypes);
	writeFileSync("/etc/nginx/nginx.conf", NGINX_CONF);
	copyFileSync(ingestBinary, "/usr/local/bin/faro-ingest");
	chmodSync("/usr/local/bin/faro-ingest", 0o755);
	const hosts = stage.path("hosts");
	writeFileSync(hosts, `127.0.0.1 localhost ${names.join(" ")}\n`);
	execFileSync("mount", ["--bind", hosts, "/etc/hosts"]);
	stage.after(() => execFileSync("umount", ["/etc/hosts"]));
}

export function bytes(quantity) {
	const [, number, unit] = /^(\d+)(Ki|Mi|Gi)?$/.exec(quantity);
	return Number(number) * { Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 }[unit ?? "Ki"] / (unit ? 1 : 1024);
}

/* What the kubelet would lay down for each volume. */
function makeVolume(stage, manifests, outside, volume) {
	const path = stage.path("volumes", volume.name);
	mkdirSync(path, { recursive: true });
	if (volume.emptyDir?.medium === "Memory") {
		const { sizeLimit } = volume.emptyDir;
		execFileSync("mount", ["-t", "tmpfs", "-o", `mode=777,size=${bytes(sizeLimit)}`, "tmpfs", path]);
		stage.after(() => execFileSync("umount", ["-l", path]));
	} else if (volume.emptyDir) {
		chmodSync(path, 0o777);
	} else if (volume.persistentVolumeClaim) {
		chmodSync(path, 0o777); // as with the pod's fsGroup
	} else {
		const { optional, name, secretName, items } = volume.configMap ?? volume.secret;
		const map = manifests.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === name);
		const data = map?.data ?? outside[name ?? secretName];
		if (!data && !optional) throw new Error(`there is no ${name ?? secretName}`);
		const keys = items?.map(({ key, path: file }) => [key, file]) ?? Object.keys(data ?? {}).map((key) => [key, key]);
		for (const [key, file] of keys) writeFileSync(join(path, file), data[key]);
	}
	return path;
}

/* $(NAME) in a value is what stands before it in the list; downward fields are the pod's. */
export function environment(list = [], fields) {
	const env = {};
	for (const { name, value, valueFrom } of list)
		env[name] = valueFrom
			? fields[valueFrom.fieldRef.fieldPath]
			: value.replaceAll(/\$\((\w+)\)/g, (text, other) => env[other] ?? text);
	return env;
}

export class Pod {
	/* outside: what is in the Secrets and ConfigMaps that are not rendered, { name: { key: text } }
	 * name: of the Deployment, where there are more */
	constructor(stage, manifests, namespace, outside = {}, name = undefined) {
		const { spec } = find(manifests, "Deployment", name).spec.template;
		this.stage = stage;
		this.fields = { "metadata.namespace": namespace };
		this.containers = [...(spec.initContainers ?? []), ...spec.containers];
		this.volumes = Object.fromEntries(spec.volumes.map(
			(volume) => [volume.name, makeVolume(stage, manifests, outside, volume)]));
	}

	/* cgroup: where its processes go. command: instead of the rendered one, or the image's. */
	start(name, { uid, command, cgroup } = {}) {
		const container = this.containers.find((candidate) => candidate.name === name);
		const script = ["set -e", ...this.#mounts(container)];
		if (container.securityContext?.readOnlyRootFilesystem)
			for (const path of ["/", ...OURS]) script.push(`mount -o remount,bind,ro ${path}`);
		if (cgroup) script.push(`echo $$ >${cgroup}/cgroup.procs`);
		script.push('exec "$@"');
		const env = { PATH: "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...environment(container.env, this.fields) };
		return this.stage.run(name, "unshare", ["--mount", "sh", "-c", script.join("\n"), name,
			"setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--no-new-privs", "--inh-caps=-all",
			"--bounding-set=-all", ...(command ?? container.command)], { env, lastSignal: "SIGTERM" });
	}

	#mounts({ volumeMounts = [] }) {
		/* /tmp last: the volumes' own folders are below it. */
		const order = [...volumeMounts].sort((a, b) => (a.mountPath === "/tmp") - (b.mountPath === "/tmp"));
		return order.flatMap(({ name, mountPath, subPath, readOnly }) => {
			const target = quote(mountPath);
			const source = quote(subPath ? join(this.volumes[name], subPath) : this.volumes[name]);
			return [
				subPath ? `mkdir -p "$(dirname ${target})"; touch ${target}` : `mkdir -p ${target}`,
				`mount --bind ${source} ${target}`,
				...(readOnly ? [`mount -o remount,bind,ro ${target}`] : []),
			];
		});
	}
}

/*
 * A control group with this much memory, of either version; undefined where none can be made. peak() is
 * the most it had, with what the kernel keeps for it; kills() how often it was too much.
 */
export function memoryGroup(stage, limit) {
	const first = "/sys/fs/cgroup/memory", second = "/sys/fs/cgroup";
	const files = existsSync(`${first}/memory.limit_in_bytes`)
		? { root: first, limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes", events: "memory.oom_control" }
		: { root: second, limit: "memory.max", peak: "memory.peak", events: "memory.events" };
	const path = `${files.root}/faro-test-${process.pid}-${stage.undo.length}`;
	const read = (name) => readFileSync(join(path, name), "utf8");
	try {
		if (files.root === second) writeFileSync(`${second}/cgroup.subtree_control`, "+memory");
		mkdirSync(path);
		writeFileSync(join(path, files.limit), String(limit));
		read(files.peak);
	} catch {
		return undefined;
	}
	return {
		path,
		peak: () => Number(read(files.peak)),
		kills: () => Number(/^oom_kill (\d+)/m.exec(read(files.events))[1]),
		/* After its processes have ended. */
		remove: () => rmdirSync(path),
	};
}
