// SPDX-License-Identifier: Apache-2.0

package receiver

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include "label/label.h"

static struct label *(*p_new)(const struct label_settings *);
static void (*p_run)(struct label *, const char *, size_t, struct label_result *);

// Kept loaded for the life of the process.
static const char *load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return dlerror();
	*(void **)&p_new = dlsym(library, "label_new");
	*(void **)&p_run = dlsym(library, "label_run");
	return p_new && p_run ? NULL : "label_new or label_run is missing";
}

static struct label *call_new(const struct label_settings *settings)
{
	return p_new(settings);
}

static void call_run(struct label *label, const char *in, size_t len, struct label_result *result)
{
	p_run(label, in, len, result);
}
*/
import "C"

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unsafe"
)

// labelSources are the modules in src/ that the labeller consists of.
var labelSources = []string{"beacon/enrich*.c", "beacon/drop.c", "beacon/edits.c", "beacon/json*.c", "beacon/redact*.c",
	"config/labels*.c", "config/privacy.c",
	"base/arena.c", "base/buf.c", "base/text.c"}

// buildLabeller compiles the labeller from the sources as they are now. (cgo's own cache would not see
// a change outside of this directory, and a test that passes for old code is worse than none.)
// Undefined behaviour traps.
func buildLabeller(target string) error {
	cc := strings.Fields(os.Getenv("CC"))
	if len(cc) == 0 {
		cc = []string{"cc"}
	}
	args := append(cc[1:], "-std=gnu11", "-O2", "-g", "-fPIC", "-shared", "-Wl,-z,defs", "-D_GNU_SOURCE",
		"-fsanitize=undefined", "-fsanitize-undefined-trap-on-error",
		"-I../../src", "-o", target, "label/label.c")
	for _, pattern := range labelSources {
		sources, err := filepath.Glob(filepath.Join("../../src", pattern))
		if err != nil || len(sources) == 0 {
			return fmt.Errorf("no %s in src", pattern)
		}
		args = append(args, sources...)
	}
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libcjson").Output()
	if err != nil {
		return fmt.Errorf("pkg-config does not know libcjson: %w", err)
	}
	args = append(args, strings.Fields(string(flags))...)
	if text, err := exec.Command(cc[0], args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cc[0], err, text)
	}
	return nil
}

func loadLabeller(path string) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if problem := C.load(name); problem != nil {
		return fmt.Errorf("%s", C.GoString(problem))
	}
	return nil
}

// cLabeller is the code under test for one identity, for one goroutine. It is never freed: the
// tests need a handful and the process ends.
type cLabeller struct{ handle *C.struct_label }

func newCLabeller(id *identity, leavesOut bool) (*cLabeller, error) {
	settings := (*C.struct_label_settings)(C.calloc(1, C.sizeof_struct_label_settings))
	settings.service_name = C.CString(id.env.serviceName)
	settings.resource_attributes = C.CString(id.env.resourceAttributes)
	settings.app_names = C.CString(id.env.appNames)
	settings.label_attributes = C.CString(id.env.labelAttributes)
	settings.request_attributes = C.CString(id.env.requestAttributes)
	if id.env.clientAddress {
		settings.stamps_client_address = 1
	}
	for i, fact := range id.env.facts {
		settings.facts[i] = C.CString(fact)
	}
	if leavesOut {
		settings.leaves_out = 1
	}
	handle := C.call_new(settings)
	if handle == nil {
		return nil, fmt.Errorf("the settings of identity %q are refused", id.name)
	}
	return &cLabeller{handle}, nil
}

func (c *cLabeller) label(body []byte) outcome {
	var result C.struct_label_result
	C.call_run(c.handle, (*C.char)(unsafe.Pointer(unsafe.SliceData(body))), C.size_t(len(body)), &result)
	did := outcome{
		offset: int(result.offset),
		counts: counts{
			Logs: int(result.logs), Exceptions: int(result.exceptions), Events: int(result.events),
			Measurements: int(result.measurements), Spans: int(result.spans),
		},
		spoofed:  int(result.spoofed),
		badSpans: int(result.bad_spans),
	}
	if result.refusal != nil {
		did.refusal, did.detail = C.GoString(result.refusal), C.GoString(result.detail)
		return did
	}
	did.output = C.GoBytes(unsafe.Pointer(result.out), C.int(result.out_len))
	return did
}
