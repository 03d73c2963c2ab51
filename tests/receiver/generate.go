// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// generator writes bodies by a grammar of what a browser could send to get past the labels. Byte-wise
// mutation rarely keeps a body valid that deep down; this always starts from something valid.
// The same seed and identity give the same bodies.
type generator struct {
	random *rand.Rand
	id     *identity
	out    bytes.Buffer
	// The probability of a trick at each place: with names (most such bodies are refused, at the first
	// of them), and with values. Drawn anew for every body, so that there are honest bodies, bodies
	// with one trick and bodies full of them.
	nameMischief, valueMischief float64
}

func newGenerator(seed uint64, id *identity) *generator {
	return &generator{random: rand.New(rand.NewPCG(seed, 0xfa60)), id: id}
}

// next returns a body that is valid until the following call.
func (g *generator) next() []byte {
	g.out.Reset()
	g.nameMischief = pick(g, 0, 0, 0.002, 0.005, 0.02, 0.15)
	g.valueMischief = pick(g, 0, 0.01, 0.03, 0.1, 0.3)
	g.space()
	g.body()
	g.space()
	if g.random.IntN(50) == 0 {
		return g.spoil()
	}
	return g.out.Bytes()
}

func (g *generator) trick() bool          { return g.random.Float64() < g.valueMischief }
func (g *generator) nameTrick() bool      { return g.random.Float64() < g.nameMischief }
func (g *generator) often() bool          { return g.random.IntN(4) > 0 }
func (g *generator) seldom() bool         { return g.random.IntN(5) == 0 }
func (g *generator) raw(text string)      { g.out.WriteString(text) }
func pick[T any](g *generator, of ...T) T { return of[g.random.IntN(len(of))] }

func (g *generator) space() {
	for g.random.IntN(40) == 0 {
		g.raw(pick(g, " ", "\n", "\t", "\r\n  "))
	}
}

// spoil breaks the body: cut, doubled, followed by something, or with a byte changed.
func (g *generator) spoil() []byte {
	body := g.out.Bytes()
	at := g.random.IntN(len(body))
	switch g.random.IntN(10) {
	case 0:
		return body[:at]
	case 7:
		if number := bytes.LastIndexAny(body, "0123456789-.eE"); number >= 0 {
			return body[:number+1]
		}
		return body[:at]
	case 8:
		// Where a number stands, something that is nearly one.
		if from := bytes.IndexAny(body[at:], "0123456789"); from >= 0 {
			from += at
			rest := bytes.TrimLeft(body[from:], "0123456789-.eE")
			almost := pick(g, "01", "1.", ".5", "1e", "1e+", "-", "+1", "-01", "0x1", "1.e1", "NaN", "Infinity", "tru",
				"nul", "'a'", "1_0", "--1", "0.1.2", "1E5", "-0e-0", "\v1", "\u00a01", "/**/1", "1,")
			return []byte(string(body[:from]) + almost + string(rest))
		}
		return body[:at]
	case 1:
		return append(body, body...)
	case 2:
		return append(body, pick(g, "}", ",", "null", "\x00", "x", "{}", "\xff")...)
	case 3:
		return append([]byte("\xef\xbb\xbf"), body...)
	case 4:
		body[at] ^= 1 << g.random.IntN(8)
		return body
	case 5:
		body[at] = pick[byte](g, 0, 0x1f, 0x7f, 0x80, 0xc0, 0xed, 0xff, '"', '\\', ',', ':', '{', '}')
		return body
	default:
		return append(body[:at:at], body[min(len(body), at+1+g.random.IntN(8)):]...)
	}
}

// field is a member to be written: its name and what writes its value.
type field struct {
	name  string
	value func()
}

// object writes the fields, and plays at each of them the tricks that a decoder may fall for.
func (g *generator) object(fields ...field) {
	if g.trick() {
		g.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	first := true
	comma := func() {
		if !first {
			g.raw(",")
		}
		first = false
		g.space()
	}
	write := func(f field) {
		comma()
		g.name(f.name)
		g.space()
		g.raw(":")
		g.space()
		if g.seldom() && g.trick() {
			g.oddValue(f.value)
		} else {
			f.value()
		}
		g.space()
	}
	g.raw("{")
	g.space()
	for _, f := range fields {
		if g.nameTrick() {
			comma()
			g.intruder()
		}
		write(f)
		if g.nameTrick() {
			if g.random.IntN(3) == 0 {
				f.name = otherCasing(f.name)
			}
			write(f)
		}
	}
	if g.nameTrick() {
		write(field{pick(g, "", "", "", "name", "extra", "resource", "meta"), func() { g.anything(2) }})
	}
	g.raw("}")
}

// intruder is a member that nobody asked for. The trace decoder takes an empty key for the end of the
// object, and goes on without a complaint where an array is its value.
func (g *generator) intruder() {
	if g.random.IntN(2) == 0 {
		g.raw(`"":` + pick(g, "[]", "[{}]", "[null]", "{}", "0"))
		return
	}
	g.text(pick(g, "", "x", "meta", "app", "k8s", "name", "key", "attributes", "resource", "toString"))
	g.raw(":")
	g.anything(2)
}

func (g *generator) list(most int, item func()) {
	n := 1 + g.random.IntN(most)
	if g.seldom() {
		n = 0
	}
	if n > 0 && g.random.IntN(400) == 0 {
		n *= 40
	}
	g.raw("[")
	g.space()
	for i := 0; i < n; i++ {
		if i > 0 {
			g.raw(",")
		}
		g.space()
		if g.seldom() && g.trick() {
			g.oddValue(item)
		} else {
			item()
		}
	}
	g.raw("]")
}

// oddValue is something else than what belongs here.
func (g *generator) oddValue(value func()) {
	switch g.random.IntN(12) {
	case 0, 1, 2, 9, 10, 11:
		g.raw("null")
	case 3:
		g.raw("{}")
	case 4:
		g.raw("[]")
	case 5:
		g.raw(`""`)
	case 6:
		g.raw("[")
		value()
		g.raw("]")
	case 7:
		g.raw(`{"":`)
		value()
		g.raw("}")
	default:
		g.anything(3)
	}
}

func (g *generator) anything(deep int) {
	if deep == 0 {
		g.scalar()
		return
	}
	switch g.random.IntN(8) {
	case 0:
		g.list(3, func() { g.anything(deep - 1) })
	case 1:
		g.object(field{pick(g, "name", "value", "key", "a", "app"), func() { g.anything(deep - 1) }})
	case 2:
		if n := 1 + g.random.IntN(80); g.seldom() {
			g.raw(strings.Repeat("[", n) + strings.Repeat("]", n))
			return
		}
		g.raw("[]")
	default:
		g.scalar()
	}
}

func (g *generator) scalar() {
	g.raw(pick(g, "null", "true", "false", "0", "-0", "1", "1.0", "-1", "1e400", "1e-7", "9007199254740993",
		"18446744073709551615", `""`, `"x"`, `"1"`, `"\ud800"`, `"\u0000"`, "{}", "[]"))
}

// name writes a key: as it is, or in a spelling that some decoder takes for it.
func (g *generator) name(name string) {
	if !g.nameTrick() {
		g.quoted(name)
		return
	}
	switch g.random.IntN(6) {
	case 0:
		name = strings.ToUpper(name)
	case 1:
		name = g.eachRune(name, func(r rune) string {
			switch {
			case r == 's' || r == 'S':
				return "\u017f"
			case r == 'k' || r == 'K':
				return "\u212a"
			}
			return string(r)
		})
	case 2:
		name = g.flipCase(name)
	case 3:
		name = otherCasing(name)
	case 4:
		name += pick(g, " ", "\x00", "s", ".", "\u200b")
	}
	if g.random.IntN(2) == 0 {
		g.escaped(name)
	} else {
		g.quoted(name)
	}
}

func (g *generator) eachRune(text string, f func(r rune) string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteString(f(r))
	}
	return b.String()
}

func (g *generator) flipCase(text string) string {
	return g.eachRune(text, func(r rune) string {
		if g.seldom() {
			return strings.ToUpper(string(r))
		}
		return string(r)
	})
}

// otherCasing turns camelCase into snake_case and back.
func otherCasing(name string) string {
	var b strings.Builder
	upper := false
	for _, r := range name {
		switch {
		case r == '_':
			upper = true
		case upper:
			b.WriteString(strings.ToUpper(string(r)))
			upper = false
		case r >= 'A' && r <= 'Z':
			b.WriteString("_" + strings.ToLower(string(r)))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// quoted writes a string with no more escapes than it must have.
func (g *generator) quoted(text string) {
	g.raw(`"`)
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			g.raw(`\` + string(r))
		case r < ' ':
			fmt.Fprintf(&g.out, `\u%04x`, r)
		default:
			g.out.WriteRune(r)
		}
	}
	g.raw(`"`)
}

// escaped writes some characters as \u escapes that need none.
func (g *generator) escaped(text string) {
	g.raw(`"`)
	for _, r := range text {
		switch {
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&g.out, `\u%04X\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case r == '"' || r == '\\' || r == '/':
			g.raw(`\` + string(r))
		case r < ' ' || g.random.IntN(3) == 0:
			fmt.Fprintf(&g.out, pick(g, `\u%04x`, `\u%04X`), r)
		default:
			g.out.WriteRune(r)
		}
	}
	g.raw(`"`)
}

// text writes a string value; sometimes escaped, sometimes with characters that logfmt drops or that
// no decoder keeps.
func (g *generator) text(text string) {
	switch {
	case !g.trick():
		g.quoted(text)
	case g.seldom():
		at := g.random.IntN(len(text) + 1)
		for at > 0 && at < len(text) && !utf8.RuneStart(text[at]) {
			at--
		}
		before, after := g.inner(text[:at]), g.inner(text[at:])
		g.raw(`"` + before)
		g.raw(pick(g, `\ud800`, `\udc00`, `\uDBFF`, `\udfff`, `\ud7ff`, `\ue000`, `\ud800\u0041`, `\uD83D\uD83D\uDE00`, "\ufffd", `\u0000`, " ", "=", `\"`, "\u007f", `\u007F`,
			"\u00a0", "\u2028", "\u0085", `\ud83d\ude00`, `\/`, `\t`))
		g.raw(after + `"`)
	default:
		g.escaped(text)
	}
}

func (g *generator) inner(text string) string {
	from := g.out.Len()
	g.quoted(text)
	inside := string(g.out.Bytes()[from+1 : g.out.Len()-1])
	g.out.Truncate(from)
	return inside
}

// lookalike is the key with something in it that logfmt drops, or that a query shows as _, or that
// only looks like it.
func (g *generator) lookalike(key string) string {
	if at := strings.IndexAny(key, "_."); at >= 0 && g.random.IntN(3) == 0 {
		return key[:at] + pick(g, ".", "-", "é", "\u017f", "_", ":", "/", "\u0085") + key[at+1:]
	}
	at := g.random.IntN(len(key) + 1)
	for at > 0 && at < len(key) && !utf8.RuneStart(key[at]) {
		at--
	}
	odd := pick(g, " ", "=", `"`, "\x00", "\n", "\x7f", "\ufffd", "\u00a0", "\u0085", "\u2003", "\u3000", ".", "_", "=  \"")
	return key[:at] + odd + key[at:]
}
