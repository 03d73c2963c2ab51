// SPDX-License-Identifier: Apache-2.0

/*
 * Runs LogQL queries over log lines with Loki's own parser and pipelines. On stdin
 *
 *	{"queries": ["sum by (kind) (count_over_time({…}[5m]))", …],
 *	 "entries": [{"labels": {"kind": "log", …}, "line": "…"}, …]}
 *
 * and on stdout an array with one result a query: what is wrong with it, or the series (or streams) that it
 * makes of those lines, each with its number of samples.
 *
 * It stores nothing and knows no time: every entry is within every range, and what a query does with samples
 * once they have left a line (sum, quantile, topk) is Loki's business.
 */
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/prometheus/model/labels"
)

type entry struct {
	Labels map[string]string `json:"labels"`
	Line   string            `json:"line"`
}

type result struct {
	Error  string         `json:"error,omitempty"`
	Series map[string]int `json:"series"`
}

func matches(matchers []*labels.Matcher, set labels.Labels) bool {
	for _, m := range matchers {
		if !m.Matches(set.Get(m.Name)) {
			return false
		}
	}
	return true
}

/* What one line adds to the series of a query. */
type process func(set labels.Labels, line string) []string

func samplesOf(extractors []log.SampleExtractor) process {
	return func(set labels.Labels, line string) (names []string) {
		for _, extractor := range extractors {
			samples, ok := extractor.ForStream(set).ProcessString(0, line, labels.EmptyLabels())
			if !ok {
				continue
			}
			for _, sample := range samples {
				names = append(names, sample.Labels.String())
			}
		}
		return names
	}
}

func linesOf(pipeline log.Pipeline) process {
	return func(set labels.Labels, line string) []string {
		_, labels, ok := pipeline.ForStream(set).ProcessString(0, line, labels.EmptyLabels())
		if !ok {
			return nil
		}
		return []string{labels.String()}
	}
}

func prepare(query string) ([]*labels.Matcher, process, error) {
	expr, err := syntax.ParseExpr(query)
	if err != nil {
		return nil, nil, err
	}
	switch e := expr.(type) {
	case syntax.SampleExpr:
		selector, err := e.Selector()
		if err != nil {
			return nil, nil, err
		}
		extractors, err := e.Extractors()
		return selector.Matchers(), samplesOf(extractors), err
	case syntax.LogSelectorExpr:
		pipeline, err := e.Pipeline()
		return e.Matchers(), linesOf(pipeline), err
	}
	return nil, nil, fmt.Errorf("neither a log nor a metric query")
}

func run(query string, entries []entry) result {
	series := map[string]int{}
	matchers, each, err := prepare(query)
	if err != nil {
		return result{Error: err.Error(), Series: series}
	}
	for _, e := range entries {
		set := labels.FromMap(e.Labels)
		if !matches(matchers, set) {
			continue
		}
		for _, name := range each(set, e.Line) {
			series[name]++
		}
	}
	return result{Series: series}
}

func main() {
	var input struct {
		Queries []string `json:"queries"`
		Entries []entry  `json:"entries"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		fmt.Fprintln(os.Stderr, "logql: stdin:", err)
		os.Exit(2)
	}
	results := []result{}
	for _, query := range input.Queries {
		results = append(results, run(query, input.Entries))
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		fmt.Fprintln(os.Stderr, "logql:", err)
		os.Exit(1)
	}
}
