// SPDX-License-Identifier: Apache-2.0

package receiver

import "encoding/json"

// shrink makes a body smaller as long as it still fails: first by whole members and items, then by
// simpler values and names, then byte by byte. Greedy, and good enough to read the result.
func shrink(body []byte, fails func([]byte) bool) []byte {
	for tries := 20000; tries > 0; {
		before := len(body)
		try := func(smaller []byte) bool {
			tries--
			if tries < 0 || len(smaller) >= len(body) || !fails(smaller) {
				return false
			}
			body = append([]byte(nil), smaller...)
			return true
		}
		if json.Valid(body) {
			for shrinkTree(parse(body), try) {
			}
		}
		shrinkBytes(&body, try)
		if len(body) == before {
			break
		}
	}
	return body
}

// shrinkTree tries each single simplification of the tree, and is true once one was kept.
func shrinkTree(root *node, try func([]byte) bool) bool {
	if try(root.bytes()) {
		return true // only white space went
	}
	return shrinkNode(root, func() bool { return try(root.bytes()) })
}

func shrinkNode(n *node, try func() bool) bool {
	for i := range n.members {
		all := n.members
		n.members = append(append([]member(nil), all[:i]...), all[i+1:]...)
		if try() {
			return true
		}
		n.members = all
	}
	for i := range n.items {
		all := n.items
		n.items = append(append([]*node(nil), all[:i]...), all[i+1:]...)
		if try() {
			return true
		}
		n.items = all
	}
	for _, m := range n.members {
		if shrinkValue(m.value, try) {
			return true
		}
	}
	for _, item := range n.items {
		if shrinkValue(item, try) {
			return true
		}
	}
	return false
}

func shrinkValue(n *node, try func() bool) bool {
	whole := *n
	for _, simple := range []string{"0", `""`, "{}", "[]", "null"} {
		*n = node{raw: []byte(simple)}
		if try() {
			return true
		}
	}
	*n = whole
	return shrinkNode(n, try)
}

func shrinkBytes(body *[]byte, try func([]byte) bool) {
	for size := len(*body) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(*body); {
			smaller := append(append([]byte(nil), (*body)[:at]...), (*body)[at+size:]...)
			if !try(smaller) {
				at += size
			}
		}
	}
}
