// SPDX-License-Identifier: Apache-2.0
/*
 * Writes a small MaxMind DB (format 2.0): a binary tree over the bits of an address, whose leaves are offsets into a data
 * section, and metadata behind it. What it does not do: networks inside each other, values other than texts, lists and maps
 * of them, texts of more than 284 bytes.
 */
import { writeFileSync } from "node:fs";

const MARKER = Buffer.from("abcdef4d61784d696e642e636f6d", "hex");
const TEXT = 2, UINT16 = 5, UINT32 = 6, MAP = 7, UINT64 = 9, LIST = 11;

/* Types above 7 are told by a second byte, sizes from 29 on by the last one. */
function head(type, size) {
	const [first, more] = size < 29 ? [size, []] : [29, [size - 29]];
	return Buffer.from(type > 7 ? [first, type - 7, ...more] : [(type << 5) | first, ...more]);
}

function number(type, value) {
	const bytes = Buffer.alloc(8);
	bytes.writeBigUInt64BE(BigInt(value));
	const size = { [UINT16]: 2, [UINT32]: 4, [UINT64]: 8 }[type];
	return Buffer.concat([head(type, size), bytes.subarray(8 - size)]);
}

/* A number is a Buffer that number() has made. */
function encode(value) {
	if (Buffer.isBuffer(value)) return value;
	if (typeof value === "string") return Buffer.concat([head(TEXT, Buffer.byteLength(value)), Buffer.from(value)]);
	if (Array.isArray(value)) return Buffer.concat([head(LIST, value.length), ...value.map(encode)]);
	const entries = Object.entries(value);
	return Buffer.concat([head(MAP, entries.length), ...entries.flat().map(encode)]);
}

/* IPv4 is ::/96 of the tree. */
function bitsOf(network) {
	const [address, length] = network.split("/");
	if (!address.includes(":")) {
		const bits = address.split(".").map((byte) => Number(byte).toString(2).padStart(8, "0")).join("");
		return "0".repeat(96) + bits.slice(0, Number(length));
	}
	const [left, right] = address.split("::").map((half) => half.split(":").filter(Boolean));
	const groups = right ? [...left, ...Array(8 - left.length - right.length).fill("0"), ...right] : left;
	return groups.map((group) => parseInt(group, 16).toString(2).padStart(16, "0")).join("").slice(0, Number(length));
}

/* networks: { "81.2.69.0/24": { country: { iso_code: "GB" } }, … } */
export function writeMmdb(file, networks) {
	const nodes = [[undefined, undefined]];
	const data = [];
	let used = 0;
	for (const [network, value] of Object.entries(networks)) {
		const bits = bitsOf(network);
		let node = 0;
		for (const bit of bits.slice(0, -1)) node = nodes[node][bit] ??= nodes.push([undefined, undefined]) - 1;
		nodes[node][bits.at(-1)] = { at: used };
		data.push(encode(value));
		used += data.at(-1).length;
	}
	const tree = Buffer.alloc(nodes.length * 8);
	nodes.flat().forEach((record, i) =>
		/* No node: nothing is known. Behind the nodes: 16 bytes that part tree and data, then the data. */
		tree.writeUInt32BE(record === undefined ? nodes.length : typeof record === "number" ? record : nodes.length + 16 + record.at, i * 4));
	const metadata = encode({
		binary_format_major_version: number(UINT16, 2), binary_format_minor_version: number(UINT16, 0),
		build_epoch: number(UINT64, 1_700_000_000), database_type: "Test", description: { en: "made by a test" },
		ip_version: number(UINT16, 6), languages: ["en"], node_count: number(UINT32, nodes.length), record_size: number(UINT16, 32),
	});
	writeFileSync(file, Buffer.concat([tree, Buffer.alloc(16), ...data, MARKER, metadata]));
}
