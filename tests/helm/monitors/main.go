// SPDX-License-Identifier: Apache-2.0

// Reads manifests as a JSON array and decodes the monitors in it strictly into the Prometheus operator's own
// types, as the API server does with their definitions: an unknown field or a wrong type is an error. It
// prints how many there were. Enumerations and patterns are not looked at.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

func decode(manifest []byte) (bool, error) {
	var kind struct{ APIVersion, Kind string }
	if err := json.Unmarshal(manifest, &kind); err != nil || kind.APIVersion != "monitoring.coreos.com/v1" {
		return false, err
	}
	kinds := map[string]any{"PodMonitor": &monitoring.PodMonitor{}, "ServiceMonitor": &monitoring.ServiceMonitor{}}
	into, ok := kinds[kind.Kind]
	if !ok {
		return false, fmt.Errorf("there is no kind %q", kind.Kind)
	}
	decoder := json.NewDecoder(bytes.NewReader(manifest))
	decoder.DisallowUnknownFields()
	return true, decoder.Decode(into)
}

func run() error {
	var manifests []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&manifests); err != nil {
		return err
	}
	count := 0
	for _, manifest := range manifests {
		isMonitor, err := decode(manifest)
		if err != nil {
			return err
		}
		if isMonitor {
			count++
		}
	}
	fmt.Println(count)
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
