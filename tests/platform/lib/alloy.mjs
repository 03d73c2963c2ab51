// SPDX-License-Identifier: Apache-2.0
/*
 * Reads Alloy's configuration syntax into blocks. What it does not do: evaluate expressions, know components or
 * their arguments. A value is its source text, but for strings and maps of strings.
 */
const tokens = /\s*(?:\/\/[^\n]*|(`[^`]*`|"(?:[^"\\]|\\.)*")|([A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*)|(-?\d[\w.]*)|([{}[\](),=]))/gy;

function tokenize(source) {
	const list = [];
	tokens.lastIndex = 0;
	let at = 0;
	for (let match; (match = tokens.exec(source)); at = tokens.lastIndex) {
		const [, string, name, number, sign] = match;
		if (string || name || number || sign) list.push({ string, name, number, sign, at: match.index });
	}
	if (source.slice(at).trim()) throw new Error(`no Alloy from ${JSON.stringify(source.slice(at, at + 40))}`);
	return list;
}

class Reader {
	constructor(source) {
		this.list = tokenize(source);
		this.i = 0;
	}

	take(sign) {
		const token = this.list[this.i++];
		if (sign && token?.sign !== sign) throw new Error(`${sign} is missing at byte ${token?.at ?? "end"}`);
		return token ?? { end: true };
	}

	peek() {
		return this.list[this.i] ?? { end: true };
	}

	/* { name, label, attributes, blocks } up to the closing brace, or the end. */
	body(name, label) {
		const block = { name, label, attributes: {}, blocks: [] };
		while (!this.peek().end && this.peek().sign !== "}") {
			const { name: what, at } = this.take();
			if (!what) throw new Error(`a name is missing at byte ${at}`);
			if (this.peek().sign === "=") {
				this.take();
				block.attributes[what] = this.value();
			} else {
				const tag = this.peek().string ? JSON.parse(this.take().string) : undefined;
				this.take("{");
				block.blocks.push(this.body(what, tag));
				this.take("}");
			}
		}
		return block;
	}

	value() {
		const token = this.take();
		if (token.string) return token.string[0] === "`" ? token.string.slice(1, -1) : JSON.parse(token.string);
		if (token.number) return Number(token.number);
		if (token.sign === "[") return this.sequence("]", () => this.value());
		if (token.sign === "{")
			return Object.fromEntries(this.sequence("}", () => {
				const key = this.take();
				this.take("=");
				return [key.name ?? JSON.parse(key.string), this.value()];
			}));
		if (!token.name) throw new Error(`a value is missing at byte ${token.at}`);
		if (token.name === "true" || token.name === "false") return token.name === "true";
		if (this.peek().sign !== "(") return { reference: token.name };
		this.take("(");
		return { call: token.name, arguments: this.sequence(")", () => this.value()) };
	}

	sequence(end, item) {
		const items = [];
		while (this.peek().sign !== end) {
			items.push(item());
			if (this.peek().sign !== end) this.take(",");
		}
		this.take(end);
		return items;
	}
}

export function parseAlloy(source) {
	const reader = new Reader(source);
	const { blocks, attributes } = reader.body();
	if (!reader.peek().end) throw new Error(`a closing brace too many at byte ${reader.peek().at}`);
	if (Object.keys(attributes).length) throw new Error(`${Object.keys(attributes)[0]} is no block`);
	return blocks;
}

/* Everything below: each(block, path) for every block. */
export function walk(blocks, each) {
	for (const block of blocks) {
		each(block);
		walk(block.blocks, each);
	}
}

/* Of each label that a line gets, the line's field that it comes from: { app_name: "app_name", … }. A rule that fills
 * in a label of its own source where that is empty adds none. */
export function labelSources(config) {
	const receiver = config.find(({ name }) => name === "faro.receiver");
	const sources = Object.fromEntries(Object.entries(receiver.attributes.extra_log_labels).map(([label, value]) => {
		if (value) throw new Error(`the label ${label} is the same for every line`);
		return [label, label];
	}));
	for (const { blocks } of config.filter((block) => block.name === "loki.relabel"))
		for (const { attributes } of blocks)
			if (attributes.target_label && attributes.target_label !== attributes.source_labels[0]) sources[attributes.target_label] = sources[attributes.source_labels[0]];
	return sources;
}
