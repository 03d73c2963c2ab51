// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// How many generated bodies are tried, and from which seed on. `go test -args -n 10000000`, or the
// environment where the command line is somebody else's.
var (
	runs = flag.Int("n", setting("FARO_RECEIVER_RUNS", 200_000), "generated bodies to try")
	seed = flag.Int("seed", setting("FARO_RECEIVER_SEED", 1), "of the first generator")
)

func setting(name string, otherwise int) int {
	if text := os.Getenv(name); text != "" {
		value, err := strconv.Atoi(text)
		if err != nil {
			log.Fatalf("%s: a number is expected", name)
		}
		return value
	}
	return otherwise
}

// libraryPath tells a fuzzing worker, which is this program once more, where the labeller is.
const libraryPath = "FARO_RECEIVER_LABELLER"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	debug.SetGCPercent(400)
	path := os.Getenv(libraryPath)
	if path == "" {
		dir, err := os.MkdirTemp("", "faro-receiver-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "label.so")
		if err := buildLabeller(path); err != nil {
			log.Printf("the labeller does not build: %v", err)
			return 1
		}
		os.Setenv(libraryPath, path)
	}
	if err := loadLabeller(path); err != nil {
		log.Printf("the labeller does not load: %v", err)
		return 1
	}
	return m.Run()
}

func labellers(t testing.TB) []*cLabeller {
	t.Helper()
	return labellersThat(t, false)
}

func labellersThat(t testing.TB, leaveOut bool) []*cLabeller {
	t.Helper()
	var all []*cLabeller
	for _, id := range identities {
		by, err := newCLabeller(id, leaveOut)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, by)
	}
	return all
}

// report says what is wrong with a body, with a small one that is wrong too. Fuzzing shrinks by itself.
func report(id *identity, by labeller, body []byte, problem error) string {
	fails := func(b []byte) bool { return verify(id, by, b, new(tally)) != nil }
	small := shrink(body, fails)
	var b strings.Builder
	fmt.Fprintf(&b, "identity %q: %v\nbody: %q\n\nsmall: %v\n%s\nas a Go string: %q\n", id.name, problem,
		body, verify(id, by, small, new(tally)), small, small)
	if did := by.label(small); did.refusal != "" {
		fmt.Fprintf(&b, "the labeller: %s at byte %d: %s\n", did.refusal, did.offset, did.detail)
	} else {
		fmt.Fprintf(&b, "the labeller: %+v, %d spoofed\n%s\n", did.counts, did.spoofed, did.output)
	}
	return b.String()
}

func TestGenerated(t *testing.T) {
	const perGenerator = 5000
	var (
		sum    tally
		lock   sync.Mutex
		next   atomic.Int64
		failed atomic.Bool
		all    sync.WaitGroup
	)
	work := func(by []*cLabeller) {
		for !failed.Load() {
			n := int(next.Add(1) - 1)
			left := *runs - n*perGenerator
			if left <= 0 {
				return
			}
			which := n % len(identities)
			g := newGenerator(uint64(*seed+n), identities[which])
			var own tally
			for i := 0; i < min(left, perGenerator); i++ {
				body := g.next()
				if err := verify(g.id, by[which], body, &own); err != nil && !failed.Swap(true) {
					t.Errorf("seed %d, body %d\n%s", *seed+n, i, report(g.id, by[which], body, err))
				}
				if failed.Load() {
					break
				}
			}
			lock.Lock()
			sum.add(&own)
			lock.Unlock()
		}
	}
	for range runtime.GOMAXPROCS(0) {
		by := labellers(t)
		all.Go(func() { work(by) })
	}
	all.Wait()
	t.Log(&sum)
}

// A tenth as many as of the others: the labeller is the same.
func TestGenerated_LeavingOutWhatSettingsCan_ForgesNoLabel(t *testing.T) {
	var seen tally
	by := labellersThat(t, true)
	for i, id := range identities {
		g := newGenerator(uint64(*seed+i), id)
		for n := range *runs / 10 / len(identities) {
			body := g.next()
			if err := verifyLeftOut(id, by[i], body, &seen); err != nil {
				t.Fatalf("seed %d, body %d, identity %q: %v\n%s\n%s", *seed+i, n, id.name, err, body, by[i].label(body).output)
			}
		}
	}
	for name, body := range recorded(t) {
		for i, id := range identities {
			if err := verifyLeftOut(id, by[i], body, &seen); err != nil {
				t.Errorf("%s, identity %q: %v", name, id.name, err)
			}
		}
	}
	t.Log(&seen)
}

// recorded are what real SDKs sent (examples/beacons), and those in the shape of mobile SDKs.
func recorded(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../../examples/beacons/*-*.json")
	mobile, _ := filepath.Glob("../../examples/beacons/mobile/*-*.json")
	paths = append(paths, mobile...)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no beacons in examples/beacons (%v)", err)
	}
	bodies := make(map[string][]byte)
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bodies[filepath.Base(path)] = body
	}
	return bodies
}

func TestRecordedBeacons_AreNeverRefused(t *testing.T) {
	by := labellers(t)
	for name, body := range recorded(t) {
		for i, id := range identities {
			var seen tally
			if err := verify(id, by[i], body, &seen); err != nil {
				t.Errorf("%s: %s", name, report(id, by[i], body, err))
			}
			if seen.received != 1 || seen.labelled != 1 {
				t.Errorf("%s: %v %+v", name, &seen, by[i].label(body).detail)
			}
		}
	}
}

// A browser that says what is true is not a forger: the SDK sends these from its configuration.
func TestHonestBeacon_CountsNoSpoof(t *testing.T) {
	id := identities[0]
	body := `{"meta":{"app":{"name":"shop","namespace":"retail","version":"4.1.9","environment":"production"}},` +
		`"traces":{"resourceSpans":[{"resource":{"attributes":[` +
		`{"key":"service.name","value":{"stringValue":"shop"}},{"key":"service.namespace","value":{"stringValue":"retail"}},` +
		`{"key":"service.version","value":{"stringValue":"4.1.9"}},` +
		`{"key":"deployment.environment","value":{"stringValue":"production"}},` +
		`{"key":"deployment.environment.name","value":{"stringValue":"production"}}]},"scopeSpans":[{"spans":[{}]}]}]}}`
	by := labellers(t)[0]
	if err := verify(id, by, []byte(body), new(tally)); err != nil {
		t.Error(report(id, by, []byte(body), err))
	}
	if did := by.label([]byte(body)); did.refusal != "" || did.spoofed != 0 {
		t.Errorf("%+v", did)
	}
}

// What the generator is too small for.
func TestLargeBodies(t *testing.T) {
	forged := `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"evil"}},` +
		`{"key":"a","value":{"intValue":"9007199254740993"}},{"key":"k8s.pod.name","value":{"stringValue":"x"}}]},` +
		`"scopeSpans":[{"spans":[{"startTimeUnixNano":1754042400123456789},{}]}]}`
	many := func(one string, n int) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	for why, body := range map[string]string{
		"5 MiB of one string": `{"logs":[{"message":"` + strings.Repeat("x", 5<<20) + `"}]}`,
		"5 MiB of escapes":    `{"logs":[{"message":"` + strings.Repeat(`\ud83d\ude00\"`, 5<<20/14) + `"}]}`,
		"4000 resources":      `{"traces":{"resourceSpans":[` + many(forged, 4000) + `]}}`,
		"10000 attributes": `{"traces":{"resourceSpans":[{"resource":{"attributes":[` +
			many(`{"key":"service.name"},{"key":"b"}`, 5000) + `]},"scopeSpans":[{"spans":[{}]}]}]}}`,
		"10000 session attributes": `{"meta":{"session":{"attributes":{` + many(`"team":"x","te am":"y","z":""`, 3333) +
			`}}},"logs":[{}]}`,
		"50000 items": `{"logs":[` + many("{}", 50000) + `]}`,
		"60 levels": `{"traces":{"resourceSpans":[{"x":` + strings.Repeat(`{"y":[`, 28) + strings.Repeat(`]}`, 28) +
			`,"scopeSpans":[{"spans":[{}]}]}]},"logs":[{"message":"m"}]}`,
	} {
		for i, by := range labellers(t) {
			var seen tally
			if err := verify(identities[i], by, []byte(body), &seen); err != nil {
				t.Errorf("%s, identity %q: %v", why, identities[i].name, err)
			}
			if seen.labelled != 1 || seen.received != 1 {
				t.Errorf("%s: %v", why, &seen)
			}
		}
	}
}

// FuzzReceiver tries bytes of any kind. The seeds in testdata/fuzz are small bodies that were once
// wrong, or that stand for a trick; `which` picks the identity.
func FuzzReceiver(f *testing.F) {
	for _, body := range recorded(f) {
		if len(body) < 8192 {
			f.Add(uint8(0), body)
		}
	}
	for i, id := range identities {
		g := newGenerator(uint64(1000+i), id)
		for range 50 {
			f.Add(uint8(i), append([]byte(nil), g.next()...))
		}
	}
	by := labellers(f)
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		i := int(which) % len(by)
		if err := verify(identities[i], by[i], body, new(tally)); err != nil {
			t.Fatalf("identity %q: %v\n%s", identities[i].name, err, body)
		}
	})
}

// BenchmarkVerify says how many bodies one core gets through.
func BenchmarkVerify(b *testing.B) {
	by := labellers(b)
	g := newGenerator(1, identities[0])
	var sum tally
	bytes := 0
	for b.Loop() {
		body := g.next()
		bytes += len(body)
		if err := verify(identities[0], by[0], body, &sum); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/body")
}

func TestParse_WritesWhatItRead(t *testing.T) {
	for _, text := range []string{`{}`, `{"a":[1,-2.5e3,true,null,"x\"y\\"],"":{"b":[]},"a":[[],{}]}`} {
		if got := string(parse([]byte(text)).bytes()); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
	if !json.Valid(parse([]byte(" {\n\"a\" : [ 1 , 2 ] } ")).bytes()) {
		t.Error("white space is not understood")
	}
}
