// SPDX-License-Identifier: Apache-2.0
/* The commands in a document, as printed. */

/* The languages that a README may use; the text of a block without one could be meant as a command. */
const LANGUAGES = ["sh", "text", "html", "js", "yaml", "nginx", "dockerfile", "alloy"];

/* Of Markdown: the texts of its ```sh blocks, in their order. Indented blocks are refused: they hide. */
export function shellBlocks(name, markdown) {
	const blocks = [...markdown.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)];
	for (const [, language] of blocks)
		if (!LANGUAGES.includes(language)) throw new Error(`${name}: a block of language "${language}"`);
	const rest = blocks.reduce((text, [block]) => text.replace(block, ""), markdown);
	if (/^(\t| {4})/m.test(rest)) throw new Error(`${name}: an indented block; write it as \`\`\`sh or \`\`\`text`);
	return blocks.filter(([, language]) => language === "sh").map(([, , text]) => text);
}

/* Of a manual page in mdoc: the literal displays of a section, prompts taken off. */
export function literalBlocks(page, section) {
	const [, text] = new RegExp(`^\\.Sh ${section}\\n(.*?)(?=^\\.Sh )`, "ms").exec(page);
	return [...text.matchAll(/^\.Bd -literal.*?\n(.*?)^\.Ed$/gms)].map(([, block]) =>
		block.replaceAll("\\(aq", "'").replaceAll("\\e", "\\").replace(/^\$ /gm, ""));
}

/* The targets of relative links. */
export const links = (markdown) =>
	[...markdown.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, target]) => target).filter((target) => !/^[a-z]+:/.test(target));

/* The words of a list of a manual page that lies between two comments, sorted. */
export function listed(text, begin, end) {
	const [, rows] = new RegExp(`^\\.\\\\" ${begin}[^\n]*\n(.*?)^\\.\\\\" ${end}`, "ms").exec(text);
	return [...rows.matchAll(/^\.It Cm (.*)$/gm)].flatMap(([, words]) => words.split(" , ")).sort();
}
