// SPDX-License-Identifier: Apache-2.0
/*
 * What the licence of a module is, from its files, or from what a lock file says.
 *
 * A licence that is not known here is a failure, too: somebody reads it, and adds it to one of the lists.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/* By what each licence's own text has, in this order: the title of a copyleft licence is in capitals, and others
 * only mention it. */
const texts = [
	["AGPL-3.0", /GNU AFFERO GENERAL PUBLIC LICENSE|SPDX-License-Identifier: AGPL/],
	["LGPL", /GNU (LESSER|LIBRARY) GENERAL PUBLIC LICENSE|SPDX-License-Identifier: LGPL/],
	["GPL", /GNU GENERAL PUBLIC LICENSE|SPDX-License-Identifier: GPL/],
	["SSPL-1.0", /Server Side Public License/],
	["BUSL-1.1", /Business Source License/],
	["MPL-2.0", /Mozilla Public License,? [Vv]ersion 2\.0/],
	["Apache-2.0", /Apache License,? Version 2\.0|SPDX-License-Identifier: Apache-2\.0/],
	["MIT", /Permission is hereby granted, free of charge, to any person obtaining a copy/],
	["ISC", /Permission to use, copy, modify, and(\/or)? distribute this software for any purpose with or without fee/],
	["BSD", /Redistribution and use in source and binary forms, with or without modification, are permitted/],
	["Unlicense", /This is free and unencumbered software released into the public domain/],
	["CC0-1.0", /CC0 1\.0 Universal/],
];

/* Nothing stronger than LGPL (README.md); and what may be used by everybody for everything. */
const allowed = new Set(["LGPL", "MPL-2.0", "Apache-2.0", "MIT", "ISC", "BSD", "Unlicense", "CC0-1.0",
	"BSD-2-Clause", "BSD-3-Clause", "0BSD", "BlueOak-1.0.0", "CC-BY-4.0", "Python-2.0", "Zlib"]);

/* Projects of which no module may be in the graph, not even one that nothing is compiled of, and whose files are
 * not here to be read. Their libraries under another licence have other paths. */
const copyleftPaths = [
	/^github\.com\/grafana\/(loki|tempo|mimir|grafana|pyroscope|phlare|oncall|beyla)(\/v\d+)?$/, /^github\.com\/grafana\/loki\/v\d+\//,
	/^go\.k6\.io\/k6(\/v\d+)?$/, /^github\.com\/minio\/minio$/,
];

/* The licence of a text; undefined: none that is known here. */
export const licenceOfText = (text) => texts.find(([, pattern]) => pattern.test(text.slice(0, 3000).replaceAll(/\s+/g, " ")))?.[0];

/* What is wrong with the licences of a folder; "" for nothing. */
export function faultOfFolder(folder) {
	const files = readdirSync(folder).filter((name) => /^(licen[cs]e|copying|unlicense)/i.test(name))
		.filter((name) => statSync(join(folder, name)).isFile());
	if (!files.length) return "has no licence file";
	for (const name of files) {
		const licence = licenceOfText(readFileSync(join(folder, name), "utf8"));
		if (!allowed.has(licence)) return `${name}: ${licence ?? "a licence that is not known here"}`;
	}
	return "";
}

export const faultOfPath = (path) => (copyleftPaths.some((pattern) => pattern.test(path)) ? "is an AGPL project" : "");

/* Of an SPDX expression: one of its alternatives is enough, and has to be allowed as a whole. */
export function faultOfExpression(expression) {
	if (!expression) return "has no licence in the lock file";
	const plain = expression.replaceAll(/[()]/g, "");
	return plain.split(/ OR /).some((one) => one.split(/ AND /).every((id) => allowed.has(id.trim()))) ? "" : expression;
}
