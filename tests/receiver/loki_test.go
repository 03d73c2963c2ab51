// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// lokiKeys is what Loki does to the keys of a line. It was taken down once: Loki is AGPL and no module of ours.
type lokiKeys struct {
	Trimmed                map[string][]string // code points by parser
	Kept, Replacement      string
	BeforeADigitAtTheStart string `json:"before_a_digit_at_the_start"`
}

func readLokiKeys(t *testing.T) *lokiKeys {
	t.Helper()
	bytes, err := os.ReadFile("testdata/loki-keys.json")
	if err != nil {
		t.Fatal(err)
	}
	table := new(lokiKeys)
	if err := json.Unmarshal(bytes, table); err != nil {
		t.Fatal(err)
	}
	return table
}

func (table *lokiKeys) trims(t *testing.T, parser string) map[rune]bool {
	t.Helper()
	set := map[rune]bool{}
	for _, text := range table.Trimmed[parser] {
		code, err := strconv.ParseUint(text, 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		set[rune(code)] = true
	}
	if len(set) < 19 {
		t.Fatalf("%d characters are trimmed by %s", len(set), parser)
	}
	return set
}

// shows are the keys Cx, xC and xCy of a line as the table has them.
func (table *lokiKeys) shows(trims map[rune]bool, c rune) [3]string {
	switch {
	case trims[c]:
		return [3]string{"x", "x", "x" + table.Replacement + "y"}
	case strings.ContainsRune(table.Kept, c):
		kept, before := string(c), ""
		if c >= '0' && c <= '9' {
			before = table.BeforeADigitAtTheStart
		}
		return [3]string{before + kept + "x", "x" + kept, "x" + kept + "y"}
	}
	r := table.Replacement
	return [3]string{r + "x", "x" + r, "x" + r + "y"}
}

// TestLokiKeys holds the oracle's own idea of Loki against the table, character by character.
func TestLokiKeys(t *testing.T) {
	table := readLokiKeys(t)
	logfmt, json := table.trims(t, "logfmt"), table.trims(t, "json")
	for c := rune(0); c < 0x30000; c++ { // no plane beyond has characters that anybody trims
		if !utf8.ValidRune(c) {
			continue
		}
		s := string(c)
		/* No label of ours begins with a digit, so that the oracle need not know that rule. */
		if c < '0' || c > '9' {
			expected := table.shows(json, c)
			for i, key := range []string{s + "x", "x" + s, "x" + s + "y"} {
				if got := asQueried(key); got != expected[i] {
					t.Fatalf("| json shows %q as %q, the oracle as %q", key, expected[i], got)
				}
			}
		}
		/* What the receiver leaves out of a key never gets to Loki. */
		if asWritten(s) == "" || (c >= '0' && c <= '9') {
			continue
		}
		expected := table.shows(logfmt, c)
		for i, key := range []string{s + "x", "x" + s, "x" + s + "y"} {
			if got := asQueried(asWritten(key)); got != expected[i] {
				t.Fatalf("| logfmt shows %q as %q, the oracle as %q", key, expected[i], got)
			}
		}
	}
}

// forgedKeys are spellings of a key that Loki shows as the key itself.
func forgedKeys(key string, trimmed string) []string {
	return []string{trimmed + key, key + trimmed, trimmed + "\u2003\x02" + key, key + "\x7f" + trimmed, strings.ReplaceAll(key, "_", ".") + trimmed,
		strings.Replace(key, "_", "=_", 1) + trimmed}
}

// TestLokiForged has each character that Loki overlooks around the name of a label, as the key of a session's
// attribute and of a measurement's value: none makes a label.
func TestLokiForged(t *testing.T) {
	table := readLokiKeys(t)
	by := labellers(t)
	for c := range table.trims(t, "json") {
		values, attributes := map[string]int{"app_load_ms": 1}, map[string]string{"plan": "gold"}
		for _, name := range append([]string{"session_attr_k8s.cluster.name", "session_attr_cost.center"}, ownNames...) {
			for _, key := range forgedKeys(name, string(c)) {
				values[key] = 1
			}
		}
		for _, name := range []string{"k8s_cluster_name", "team"} {
			/* The prefix that the receiver writes stands before it. */
			for _, key := range forgedKeys(name, string(c))[3:] {
				attributes[key] = "forged"
			}
			attributes[name+string(c)] = "forged"
		}
		body, err := json.Marshal(map[string]any{
			"meta":         map[string]any{"session": map[string]any{"attributes": attributes}},
			"events":       []any{map[string]any{"name": "e", "timestamp": "2026-01-01T00:00:00Z"}},
			"measurements": []any{map[string]any{"type": "x", "values": values, "timestamp": "2026-01-01T00:00:00Z"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range identities {
			if err := verify(id, by[i], body, new(tally)); err != nil {
				t.Errorf("%q\n%s", c, report(id, by[i], body, err))
			}
		}
		/* Of the first identity, by hand, so that it does not rest on the oracle alone. */
		output := string(by[0].label(body).output)
		if strings.Contains(output, "forged") || !strings.Contains(output, `"values":{"app_load_ms":1}`) {
			t.Errorf("%q is left in\n%s", c, output)
		}
	}
}
