// SPDX-License-Identifier: Apache-2.0
/*
 * LogQL and TraceQL by Grafana's grammars of them, and enough of LogQL's meaning to see which lines a query finds.
 *
 * What it does not do: compute. A query gives the label sets of its result and how many lines each is made of; every
 * line is within every range. A part of the language that examples/ do not use is an error here, so that nothing is
 * passed over. Loki itself is AGPL, and no module of ours.
 */
import { parser as logqlParser } from "@grafana/lezer-logql";
import { parser as traceqlParser } from "@grafana/lezer-traceql";

import { fields } from "./lines.mjs";

function parse(language, parser, text) {
	const tree = parser.parse(text);
	tree.iterate({
		enter({ type, from }) {
			if (type.isError) throw new SyntaxError(`no ${language} from ${JSON.stringify(text.slice(from, from + 30))} on: ${text}`);
		},
	});
	if (tree.length !== text.length || !tree.topNode.firstChild) throw new SyntaxError(`no ${language}: ${text}`);
	return tree.topNode;
}

export const parseLogql = (text) => parse("LogQL", logqlParser, text);
export const parseTraceql = (text) => parse("TraceQL", traceqlParser, text);

/* The names of attributes that a TraceQL query asks for. */
export function traceqlAttributes(text) {
	const names = [];
	parseTraceql(text).cursor().iterate(({ name, from, to }) => {
		if (name === "AttributeField") names.push(text.slice(from, to));
	});
	return names;
}

class Query {
	constructor(text) {
		this.text = text;
		const [top] = children(parseLogql(text));
		[this.expression] = children(top);
	}

	of(node) {
		return this.text.slice(node.from, node.to);
	}

	unknown(node) {
		return new Error(`${node.name} is not evaluated here: ${this.of(node)}`);
	}

	/* Go's strings, of which JSON's are a part, or raw. */
	string(node) {
		const text = this.of(node);
		return text[0] === "`" ? text.slice(1, -1) : JSON.parse(text);
	}

	names(node) {
		return flat(node, "Identifier").map((one) => this.of(one));
	}

	/* (value) => whether it matches; an operator and a string. */
	comparison(operator, text) {
		const whole = () => new RegExp(`^(?:${text})$`, "s");
		switch (operator.name) {
		case "Eq": return (value) => value === text;
		case "Neq": return (value) => value !== text;
		case "Re": return (value, pattern = whole()) => pattern.test(value);
		case "Nre": return (value, pattern = whole()) => !pattern.test(value);
		default: throw this.unknown(operator);
		}
	}

	matcher(node) {
		const [name, operator, value] = children(node);
		const matches = this.comparison(operator, this.string(value)), label = this.of(name);
		return (labels) => matches(labels[label] ?? "");
	}

	numberFilter(node) {
		const [name, operator, literal] = children(node);
		const label = this.of(name), limit = Number(this.of(literal));
		const compare = { Gte: (n) => n >= limit, Gtr: (n) => n > limit, Lte: (n) => n <= limit, Lss: (n) => n < limit }[operator.name];
		if (!compare || Number.isNaN(limit)) throw this.unknown(node);
		return (labels) => label in labels && labels[label] !== "" && compare(Number(labels[label]));
	}

	labelFilter(node) {
		const [only, ...rest] = children(node);
		if (rest.length || !["Matcher", "NumberFilter"].includes(only.name)) throw this.unknown(node);
		return only.name === "Matcher" ? this.matcher(only) : this.numberFilter(only);
	}

	lineFilter(node) {
		const [filter, value] = children(node);
		const text = this.string(value), [operator] = children(filter);
		switch (operator.name) {
		case "PipeExact": return (line) => line.includes(text);
		case "Neq": return (line) => !line.includes(text);
		case "PipeMatch": return (line) => new RegExp(text).test(line);
		case "Nre": return (line) => !new RegExp(text).test(line);
		default: throw this.unknown(node);
		}
	}

	/* (entry) => entry, or undefined where the stage drops it. */
	stage(node) {
		switch (node.name) {
		case "LineFilters": {
			const filters = flat(node, "LineFilter").map((one) => this.lineFilter(one));
			return (entry) => (filters.every((filter) => filter(entry.line)) ? entry : undefined);
		}
		case "LabelFilter": {
			const filter = this.labelFilter(node);
			return (entry) => (filter(entry.labels) ? entry : undefined);
		}
		case "LogfmtParser":
			return (entry) => extracted(entry, () => true);
		case "LogfmtExpressionParser": {
			const wanted = new Set(this.names(node));
			if (flat(node, "String").length) throw this.unknown(node);
			return (entry) => extracted(entry, (name) => wanted.has(name));
		}
		case "Identifier": { // of unwrap
			const name = this.of(node);
			return (entry) => (Number.isFinite(parseFloat(entry.labels[name])) ? entry : undefined);
		}
		default:
			throw this.unknown(node);
		}
	}

	/* Selector and stages of a LogExpr or LogRangeExpr, in their order. */
	stages(node) {
		const list = [];
		const look = (inner) => {
			for (const child of children(inner)) {
				if (["PipelineExpr", "PipelineStage", "UnwrapExpr"].includes(child.name)) look(child);
				else if (child.name === "Selector") for (const one of flat(child, "Matcher")) list.push(keeping(this.matcher(one)));
				else if (!["Pipe", "Unwrap", "Range"].includes(child.name)) list.push(this.stage(child));
			}
		};
		look(node);
		return list;
	}

	/* Label sets, one a line. */
	run(entries, node = this.expression) {
		const parts = children(node);
		switch (node.name) {
		case "LogExpr":
		case "LogRangeExpr": {
			const stages = this.stages(node);
			return entries.map((entry) => stages.reduce((now, stage) => now && stage(now), entry))
				.filter(Boolean).map(({ labels }) => labels);
		}
		case "MetricExpr":
			if (parts.length !== 1) throw this.unknown(node);
			return this.run(entries, parts[0]);
		case "VectorAggregationExpr":
		case "RangeAggregationExpr": {
			const inner = parts.find(({ name }) => ["MetricExpr", "LogRangeExpr"].includes(name));
			const grouping = parts.find(({ name }) => name === "Grouping");
			const sets = this.run(entries, inner);
			const isTop = this.of(node).startsWith("topk");
			if (!grouping) return isTop || node.name === "RangeAggregationExpr" ? sets : sets.map(() => ({}));
			if (grouping.firstChild.name !== "By") throw this.unknown(grouping);
			const names = this.names(grouping);
			return sets.map((labels) => Object.fromEntries(names.map((name) => [name, labels[name] ?? ""])));
		}
		default:
			throw this.unknown(node);
		}
	}
}

function children(node) {
	const list = [];
	for (let child = node.firstChild; child; child = child.nextSibling) list.push(child);
	return list;
}

/* All nodes of that name below this one, whose lists are nested. */
const flat = (node, name) => children(node).flatMap((child) => (child.name === name ? [child] : flat(child, name)));

const keeping = (matches) => (entry) => (matches(entry.labels) ? entry : undefined);

/* As Loki does: a field that is a label already gets another name. */
function extracted(entry, isWanted) {
	const labels = { ...entry.labels };
	for (const [key, value] of Object.entries(fields(entry.line))) {
		const name = key.replaceAll(/\W/g, "_");
		if (isWanted(name)) labels[name in entry.labels ? `${name}_extracted` : name] = value;
	}
	return { ...entry, labels };
}

/* The label sets that a query makes of [{ line, labels }], as text, and how many lines each is made of. */
export function logql(text, entries) {
	const series = {};
	for (const labels of new Query(text).run(entries)) {
		const name = `{${Object.keys(labels).sort().map((key) => `${key}=${JSON.stringify(labels[key])}`).join(", ")}}`;
		series[name] = (series[name] ?? 0) + 1;
	}
	return series;
}
