// SPDX-License-Identifier: Apache-2.0
/*
 * Writes nginx/faro-crawlers.conf from the list of npm's crawler-user-agents:
 *
 *	node tests/crawlers/generate.mjs >nginx/faro-crawlers.conf
 *
 * nginx asks the regular expressions of a map one after the other, and PCRE finds a first letter fast. So the list's 1500
 * patterns become one expression for each first letter, and what usual browsers say of themselves stands before them. What
 * this program cannot read of a new list, and a crawler that looks like a usual browser, end it with an error.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const source = require.resolve("crawler-user-agents");
const read = (name) => readFileSync(join(dirname(source), name), "utf8");

export const list = JSON.parse(readFileSync(source, "utf8"));

/* No crawler of the list, and no browser that we know of, says more of itself. */
const LONGEST = 512;

/*
 * Most browsers say the same, version apart. Of PCRE's work the steps count, one for each letter, so the dots skip
 * " AppleWebKit/537.36 (KHTML, like Gecko) ", or Safari's, which has two more.
 */
const FROZEN = [
	...["Windows NT 10\\.0; Win64; x64", "Linux; Android 10; K", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"],
	"iPhone; CPU iPhone OS [\\d_]+ like Mac OS X",
];
const commonBrowser = `^Mozilla/5\\.0 \\((?:${FROZEN.join("|")})\\).{40}` +
	"(?:Chrome/[\\d.]+ (?:Mobile )?Safari/537\\.36(?: (?:Edg|EdgA|OPR)/[\\d.]+)?|..Version/[\\d.]+ (?:Mobile/15E148 )?Safari/[\\d.]+)$";

/* What the usual browsers, and web views of applications, consist of. */
const PLATFORMS = [
	"Windows NT [\\d.]+(?:; (?:Win64; x64|WOW64|ARM64))?",
	"Macintosh; Intel Mac OS X [\\d._]+",
	"X11; (?:(?:Ubuntu|Fedora); )?(?:Linux|FreeBSD|OpenBSD|CrOS) [\\w. ]+",
	"(?:iPhone|iPad|iPod touch); CPU (?:iPhone )?OS [\\d_]+ like Mac OS X",
	"Android [\\d.]+; (?:Mobile|Tablet)",
	"Linux; (?:U; )?Android [\\d.]+; (?:[a-z]{2}-[a-z]{2}; )?[\\w .,+-]+(?: Build/[\\w.-]+)?(?:; wv)?",
];
const PRODUCTS = [
	...["Chrome", "Safari", "Version", "Mobile", "Firefox", "Edg", "OPR", "SamsungBrowser", "CriOS", "FxiOS", "EdgA", "EdgiOS", "OPT"],
	...["GSA", "Vivaldi", "YaBrowser", "DuckDuckGo", "Ddg", "UCBrowser", "MiuiBrowser", "HuaweiBrowser", "HeyTapBrowser", "VivoBrowser"],
	...["Whale", "Line", "XWEB", "MMWEBSDK", "MMWEBID"],
];
const APPLICATIONS = [
	"Instagram [\\d.]+ (?:Android )?\\([\\w .,:;=/+-]+\\)",
	"(?:musical_ly|trill)_[\\w.]+[\\w ./-]*",
	"MicroMessenger/[\\w.]+\\(\\w+\\)[\\w ./-]*",
	"Twitter for iPhone(?:/[\\d.]+)?",
	"Snapchat/[\\d.]+ \\(like Safari/[\\d.]+(?:, panda)?\\)",
	"\\[(?:FB|LinkedInApp|Pinterest)[\\w .,:;/+-]*\\](?:/[\\d.]+)?",
];
const usualBrowser = `^Mozilla/5\\.0 \\((?:${PLATFORMS.join("|")})(?:; rv:[\\d.]+)?\\) ` +
	"(?:AppleWebKit/[\\d.]+ \\(KHTML, like Gecko\\)|Gecko/[\\d.]+)" +
	`(?: (?:${PRODUCTS.join("|")})(?:/[\\w.]+)?)+(?: (?:${APPLICATIONS.join("|")}))?$`;

/* A pattern's parts: "a", "\\.", "[bB]", "(?:x|y)", "^", each with its quantifier. All that the list uses. */
const PART = /(?:\\[^A-Za-z0-9]|\\[dDwWsSb]|\[(?:[^\]\\]|\\.)+\]|\((?:\?:|(?!\?))(?:[^()\\]|\\.)*\)|[^\\[\](){}*+?|])[*+?]?/gy;

function partsOf(pattern) {
	const parts = pattern.match(PART) ?? [];
	if (!pattern || parts.join("") !== pattern || /[^\x20-\x7e]/.test(pattern))
		throw new Error(`the list has a pattern that this program cannot read: ${pattern}`);
	/* nginx takes a group for a variable, and needs no \ before a slash. */
	return parts.map((part) => part.replace(/^\((?!\?:)/, "(?:").replaceAll("\\/", "/"));
}

/* "a|b" is two patterns, if the bar is in no group. */
const alternatives = (pattern) => (/\(/.test(pattern) ? [pattern] : pattern.split("|"));

/* "[wW]get" begins with either letter, "(?:^| )sentry" with the text or a space. */
function byFirstLetter(pattern) {
	const [first, ...rest] = partsOf(pattern);
	const inside = /^\[(\w+)\]$|^\(\?:(.*)\)$/.exec(first);
	if (!inside) return [[first, rest.join("")]];
	const choices = inside[1] ? [...inside[1]] : inside[2].split("|");
	return choices.flatMap((choice) => byFirstLetter(choice + rest.join("")));
}

/* { first letter: what may follow it, sorted }, in the letters' order */
function grouped(patterns) {
	const groups = new Map();
	for (const [letter, rest] of patterns.flatMap(alternatives).flatMap(byFirstLetter))
		groups.set(letter, (groups.get(letter) ?? new Set()).add(rest));
	return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([letter, rests]) => [letter, [...rests].sort()]);
}

/* Inside "…" nginx reads \\ \" \' \t \n \r as one character each. */
const line = (regex, value) => `\t"~${regex.replace(/\\(?=[\\"'tnr])|"/g, "\\$&")}" ${value};`;

const linesOf = (entries, value) =>
	grouped(entries.map(({ pattern }) => pattern)).map(([letter, rests]) => line(`${letter}(?:${rests.join("|")})`, value));

/* What looks after a service, and browsers that a program drives. */
export const reasonOf = ({ tags }) =>
	(tags.some((tag) => tag === "monitoring" || tag === "browser-automation") ? "synthetic" : "crawler");

function assertNoneIsUsual(entries) {
	for (const name of entries.flatMap(({ instances = [] }) => instances))
		if (name.length > LONGEST || new RegExp(`${commonBrowser}|${usualBrowser}`).test(name))
			throw new Error(`a crawler of the list would be taken for a usual browser: ${name}`);
}

export function generate(entries = list) {
	assertNoneIsUsual(entries);
	const { version } = JSON.parse(read("package.json"));
	const of = (reason) => entries.filter((entry) => reasonOf(entry) === reason);
	return `# faro-ingest: crawlers and synthetic browsers by User-Agent, for http{}. Made by tests/crawlers/generate.mjs: do not edit.
#
#	$faro_crawler         crawler; synthetic, which is monitoring and browsers that a program drives, such as HeadlessChrome and
#	                      Lighthouse; else empty
#	$faro_synthetic_type  bot or test for these, as OpenTelemetry's user_agent.synthetic.type has them; else empty
#
# docs/REQUEST.md says what they are good for. A crawler may call itself a browser, so this keeps noise away, and no one else.
# nginx looks at it only for requests that need the value. The usual browsers are answered by the first two lines.
#
# The list is that of crawler-user-agents ${version}, under this licence:
#
${read("LICENSE").trim().replace(/^./gm, "# $&").replace(/^$/gm, "#")}

map $http_user_agent $faro_crawler {
	default "";

${line(`(?s)${commonBrowser}`, '""')}
${line(usualBrowser, '""')}
	# No browser says so much, and looking through it would take long.
${line(`^.{${LONGEST + 1}}`, '""')}

${linesOf(of("crawler"), "crawler").join("\n")}

${linesOf(of("synthetic"), "synthetic").join("\n")}
}

map $faro_crawler $faro_synthetic_type {
	default "";
	crawler bot;
	synthetic test;
}
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(generate());
