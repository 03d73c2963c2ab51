// SPDX-License-Identifier: Apache-2.0
/* faro-sink, the stand-in for Alloy's receiver, and its lines as they come. */
import { fields } from "../../platform/lib/lines.mjs";
import { sinkBinary } from "../../system/lib/stage.mjs";

/* Returns { url, lines, until(look) }; a line is an object of its fields. */
export async function startSink(stage) {
	const sink = stage.run("faro-sink", sinkBinary, ["--listen", "127.0.0.1:0"]);
	const [, url] = await sink.line(/listening on (http:\S+)/);
	const lines = [];
	let rest = "";
	sink.child.stdout.on("data", (bytes) => {
		const whole = `${rest}${bytes}`.split("\n");
		rest = whole.pop();
		lines.push(...whole.map(fields));
	});
	const until = async (look) => {
		for (;;) {
			const found = look(lines);
			if (found) return found;
			await new Promise((resolve) => sink.child.stdout.once("data", resolve));
		}
	};
	return { url, lines, until };
}
