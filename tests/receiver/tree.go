// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// node is a JSON value that keeps what encoding/json's maps throw away: order, duplicates and the
// bytes of each scalar and key. It serves the model, the shrinker and the tests' own labeller.
type node struct {
	kind    byte   // one of { [ " and, for numbers, true, false and null, 0
	raw     []byte // of scalars, as they stand in the body
	members []member
	items   []*node
}

type member struct {
	raw   []byte // the key with its quotes
	key   string // decoded
	value *node
}

const maxDepth = 64

// isStrict is the rule "strict RFC 8259: one top-level object, valid UTF-8, no BOM, nothing after
// it, depth ≤ 64".
func isStrict(body []byte) bool {
	if !json.Valid(body) || !utf8.Valid(body) {
		return false
	}
	return bytes.TrimLeft(body, " \t\r\n")[0] == '{' && depth(body) <= maxDepth
}

func depth(body []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// parse takes a body for which json.Valid is true.
func parse(body []byte) *node {
	p := parser{rest: body}
	return p.value()
}

type parser struct{ rest []byte }

func (p *parser) next() byte {
	p.rest = bytes.TrimLeft(p.rest, " \t\r\n")
	return p.rest[0]
}

func (p *parser) take(n int) []byte {
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// more is true while members or items follow; it steps over the comma before one, or over the end.
func (p *parser) more(end byte) bool {
	c := p.next()
	if c == end {
		p.take(1)
		return false
	}
	if c == ',' {
		p.take(1)
		p.next()
	}
	return true
}

func (p *parser) value() *node {
	switch c := p.next(); c {
	case '{':
		n := &node{kind: c}
		p.take(1)
		for p.more('}') {
			raw := p.text()
			p.next()
			p.take(1)
			n.members = append(n.members, member{raw: raw, key: decodeString(raw), value: p.value()})
		}
		return n
	case '[':
		n := &node{kind: c}
		p.take(1)
		for p.more(']') {
			n.items = append(n.items, p.value())
		}
		return n
	case '"':
		return &node{kind: c, raw: p.text()}
	default:
		end := bytes.IndexAny(p.rest, ",]} \t\r\n")
		if end < 0 {
			end = len(p.rest)
		}
		return &node{raw: p.take(end)}
	}
}

func (p *parser) text() []byte {
	i := 1
	for p.rest[i] != '"' {
		if p.rest[i] == '\\' {
			i++
		}
		i++
	}
	return p.take(i + 1)
}

func decodeString(raw []byte) string {
	if inside := raw[1 : len(raw)-1]; bytes.IndexByte(inside, '\\') < 0 && utf8.Valid(inside) {
		return string(inside)
	}
	var decoded string
	if json.Unmarshal(raw, &decoded) != nil {
		panic("not a JSON string")
	}
	return decoded
}

func (n *node) isObject() bool { return n != nil && n.kind == '{' }
func (n *node) isNull() bool   { return n == nil || n.kind == 0 && string(n.raw) == "null" }

// text is the decoded string, or "" for any other value.
func (n *node) text() string {
	if n == nil || n.kind != '"' {
		return ""
	}
	return decodeString(n.raw)
}

// each calls f for every member whose key is `name` to a decoder that folds case.
func (n *node) each(name string, f func(value *node)) {
	if n == nil {
		return
	}
	for _, m := range n.members {
		if strings.EqualFold(m.key, name) {
			f(m.value)
		}
	}
}

// at is the member of exactly this name, or nil.
func (n *node) at(names ...string) *node {
	if n != nil {
		for _, m := range n.members {
			for _, name := range names {
				if m.key == name {
					return m.value
				}
			}
		}
	}
	return nil
}

func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

func (n *node) write(out *bytes.Buffer) {
	switch n.kind {
	case '{':
		out.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				out.WriteByte(',')
			}
			out.Write(m.raw)
			out.WriteByte(':')
			m.value.write(out)
		}
		out.WriteByte('}')
	case '[':
		out.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				out.WriteByte(',')
			}
			item.write(out)
		}
		out.WriteByte(']')
	default:
		out.Write(n.raw)
	}
}

func (n *node) bytes() []byte {
	var out bytes.Buffer
	n.write(&out)
	return out.Bytes()
}
