// Merges what describe.go printed for each minor, one file a minor called MINOR.json, into one table on standard output.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// span is a type of a field with the first and the last minor that has it.
type span [3]any

func read(path string) (int, map[string]map[string]string, error) {
	minor, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".json"))
	if err != nil {
		return 0, nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, nil, err
	}
	structures := map[string]map[string]string{}
	return minor, structures, json.Unmarshal(content, &structures)
}

func merge(folder string) (map[string]any, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	sort.Strings(paths)
	minors, structures := []int{}, map[string]map[string][]span{}
	for _, path := range paths {
		minor, found, err := read(path)
		if err != nil {
			return nil, err
		}
		minors = append(minors, minor)
		for name, fields := range found {
			if structures[name] == nil {
				structures[name] = map[string][]span{}
			}
			for field, kind := range fields {
				spans := structures[name][field]
				if last := len(spans) - 1; last >= 0 && spans[last][0] == kind {
					spans[last][2] = minor
				} else {
					structures[name][field] = append(spans, span{kind, minor, minor})
				}
			}
		}
	}
	return map[string]any{"minors": minors, "structures": structures}, nil
}

// print writes one field a line, so that a difference between two tables can be read.
func print(table map[string]any) error {
	structures := table["structures"].(map[string]map[string][]span)
	minors, err := json.Marshal(table["minors"])
	if err != nil {
		return err
	}
	fmt.Printf("{\n\"made-by\": \"ci/kubernetes-types, from the Go modules k8s.io/kubelet and k8s.io/kube-proxy; do not edit\",\n")
	fmt.Printf("\"minors\": %s,\n\"structures\": {", minors)
	for i, name := range keys(structures) {
		fmt.Printf("%s\n\"%s\": {", comma(i), name)
		for j, field := range keys(structures[name]) {
			spans, err := json.Marshal(structures[name][field])
			if err != nil {
				return err
			}
			fmt.Printf("%s\n  \"%s\": %s", comma(j), field, spans)
		}
		fmt.Print("\n}")
	}
	fmt.Print("\n}\n}\n")
	return nil
}

func keys[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func comma(index int) string {
	if index == 0 {
		return ""
	}
	return ","
}

func main() {
	table, err := merge(os.Args[1])
	if err == nil {
		err = print(table)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
